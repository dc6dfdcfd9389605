// SPDX-License-Identifier: Apache-2.0
//
// Streams run what is queued only when somebody waits, and no more of it than was waited for: whoever forgets to wait,
// or reuses a buffer too early, gets what the slowest of devices would give. Captures keep the work instead.
#include "driver.h"

namespace simulator {

namespace {

thread_local int thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

// One handle's worth of a capture's rules: an illegal call makes the whole capture useless.
CUresult refuse(capture &c, CUresult why) {
    c.invalid = true;
    return why;
}

} // namespace

CUresult driver::stream_of(CUstream handle, std::shared_ptr<stream> *result) {
    device &d = *current();
    const auto make = [&] { return std::make_shared<stream>(stream{&d, false, {}, 0, 0, false, nullptr}); };
    if (!handle || handle == reinterpret_cast<CUstream>(CU_STREAM_LEGACY)) {
        if (!d.legacy) d.legacy = make();
        *result = d.legacy;
        return CUDA_SUCCESS;
    }
    if (handle == reinterpret_cast<CUstream>(CU_STREAM_PER_THREAD)) {
        std::shared_ptr<stream> &own = d.per_thread[std::this_thread::get_id()];
        if (!own) {
            own = make();
            own->waits_for_legacy = true;
        }
        *result = own;
        return CUDA_SUCCESS;
    }
    const auto found = streams.find(handle);
    if (found == streams.end()) return CUDA_ERROR_INVALID_HANDLE;
    *result = found->second;
    return CUDA_SUCCESS;
}

// Potentially unsafe calls: see cuThreadExchangeStreamCaptureMode in the driver's manual. They spoil what they disturb.
CUresult driver::unsafe_call() {
    CUresult result = CUDA_SUCCESS;
    if (thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED) return result;
    for (const auto &weak : captures) {
        const std::shared_ptr<capture> c = weak.lock();
        if (!c) continue;
        const bool own = c->thread == std::this_thread::get_id();
        const bool concerns_all =
            c->mode == CU_STREAM_CAPTURE_MODE_GLOBAL && thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
        if (concerns_all || (own && c->mode != CU_STREAM_CAPTURE_MODE_RELAXED))
            result = refuse(*c, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    return result;
}

CUresult driver::enqueue(const std::shared_ptr<stream> &s, operation o) {
    device &d = *s->device;
    if (s->capture) {
        if (s->capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        const auto joined = s->capture->joined.find(s);
        if (joined != s->capture->joined.end()) joined->second = false;
        s->capture->operations.push_back(std::move(o));
        return CUDA_SUCCESS;
    }
    // The legacy stream and the blocking ones wait for one another.
    const auto wait_for = [&](const std::shared_ptr<stream> &other) {
        if (other->done == other->queued) return;
        const uint64_t ticket = other->queued;
        s->queue.push_back({"wait", [this, other, ticket] {
            drain(other, ticket);
            return CUDA_SUCCESS;
        }});
        s->queued++;
    };
    if (s == d.legacy) {
        const auto is_concerned = [&](const stream &other) { return other.device == &d && other.waits_for_legacy; };
        for (const auto &[handle, other] : streams)
            if (is_concerned(*other) && other->capture)
                return refuse(*other->capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
        for (const auto &[handle, other] : streams)
            if (is_concerned(*other)) wait_for(other);
        for (const auto &[id, other] : d.per_thread) wait_for(other);
    } else if (s->waits_for_legacy && d.legacy) {
        wait_for(d.legacy);
    }
    s->queue.push_back(std::move(o));
    s->queued++;
    if (!set.deferred) drain(s, s->queued);
    return d.sticky;
}

// Runs the first `ticket` operations that this stream ever had, as far as they have not run.
void driver::drain(const std::shared_ptr<stream> &s, uint64_t ticket) {
    while (s->done < ticket && !s->queue.empty()) {
        if (s->draining) { // by another thread, which has let go of the lock for a host function
            drained.wait(*held_lock);
            continue;
        }
        s->draining = true;
        const operation o = std::move(s->queue.front());
        s->queue.pop_front();
        let_access(*s->device, true);
        const CUresult result = o.run();
        let_access(*s->device, false);
        s->done++;
        s->draining = false;
        drained.notify_all();
        if (result != CUDA_SUCCESS) fail(*s->device, result);
    }
}

void driver::drain_all(device &d) {
    if (d.legacy) drain(d.legacy, d.legacy->queued);
    for (const auto &[id, s] : d.per_thread) drain(s, s->queued);
    const table<stream> all = streams; // a host function may let others change it
    for (const auto &[handle, s] : all)
        if (s->device == &d) drain(s, s->queued);
}

void driver::fail(device &d, CUresult result) {
    if (d.sticky == CUDA_SUCCESS) d.sticky = result;
    const auto forget = [&](stream &s) {
        if (s.device != &d) return;
        s.queue.clear();
        s.done = s.queued;
    };
    if (d.legacy) forget(*d.legacy);
    for (const auto &[id, s] : d.per_thread) forget(*s);
    for (const auto &[handle, s] : streams) forget(*s);
}

// The last reference to a primary context is gone: so is all that was made in it.
void driver::destroy_context(device &d) {
    drain_all(d);
    check_guards(d);
    std::vector<void *> blocks;
    for (const auto &[start, a] : allocations)
        if (a.owner == &d) blocks.push_back(reinterpret_cast<void *>(start));
    long long left = 0, bytes = 0;
    for (void *block : blocks) {
        const allocation a = allocations[(uintptr_t)block];
        bytes += (long long)a.bytes;
        release(d, block, a.on_host);
    }
    left += (long long)blocks.size();
    const auto drop = [&](auto &objects, long long &live) {
        for (auto o = objects.begin(); o != objects.end();) {
            if (o->second->device != &d) {
                ++o;
                continue;
            }
            o = objects.erase(o);
            live--;
            left++;
        }
    };
    drop(streams, count.live_streams);
    drop(events, count.live_events);
    drop(modules, count.live_modules);
    for (auto f = functions.begin(); f != functions.end();)
        f = modules.count(f->second->module) ? std::next(f) : functions.erase(f);
    d.legacy.reset();
    d.per_thread.clear();
    count.leaks += left;
    if (left > 0)
        report("the context of device " + std::to_string(d.ordinal) + " went with " + std::to_string(left) +
               " objects in it, among them " + std::to_string(blocks.size()) + " blocks of memory of " +
               std::to_string(bytes) + " bytes");
}

} // namespace simulator

using namespace simulator;

// ---- streams --------------------------------------------------------------------------------------------------------

CUresult cuStreamCreate(CUstream *handle, unsigned flags) {
    return enter(needs_context, [&](driver &d) {
        if (!handle || flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
        if (d.fails_now(d.set.fail_stream)) return CUDA_ERROR_OUT_OF_MEMORY;
        const auto s = std::make_shared<stream>(
            stream{d.current(), !(flags & CU_STREAM_NON_BLOCKING), {}, 0, 0, false, nullptr});
        d.streams[s.get()] = s;
        d.count.streams++;
        d.count.live_streams++;
        *handle = reinterpret_cast<CUstream>(s.get());
        return CUDA_SUCCESS;
    });
}

CUresult cuStreamDestroy_v2(CUstream handle) {
    return enter(needs_context | ends_something, [&](driver &d) {
        const auto found = d.streams.find(handle);
        if (found == d.streams.end()) return CUDA_ERROR_INVALID_HANDLE;
        const std::shared_ptr<stream> s = found->second;
        d.drain(s, s->queued); // the driver lets it finish, and returns before
        if (s->capture) s->capture->invalid = true;
        d.streams.erase(handle);
        d.count.live_streams--;
        return CUDA_SUCCESS;
    });
}

// 900 where the stream itself is captured, which also spoils the capture; else success.
static CUresult refuse_if_capturing(stream &s) {
    if (!s.capture) return CUDA_SUCCESS;
    return refuse(*s.capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
}

CUresult cuStreamSynchronize(CUstream handle) {
    return enter(needs_context | is_unsafe_in_capture, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        if (const CUresult r = refuse_if_capturing(*s)) return r;
        d.count.synchronizations++;
        if (s == s->device->legacy) { // also waits for the blocking streams
            if (const CUresult r = d.enqueue(s, {"wait", [] { return CUDA_SUCCESS; }})) return r;
        }
        d.drain(s, s->queued);
        d.check_guards(*s->device);
        return CUDA_SUCCESS;
    });
}

// Each query lets one piece of the work happen.
CUresult cuStreamQuery(CUstream handle) {
    return enter(needs_context | is_unsafe_in_capture, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        if (const CUresult r = refuse_if_capturing(*s)) return r;
        if (s->done < s->queued) d.drain(s, s->done + 1);
        return s->done < s->queued ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
    });
}

CUresult cuStreamGetCtx(CUstream handle, CUcontext *context) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (!context) return CUDA_ERROR_INVALID_VALUE;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        *context = reinterpret_cast<CUcontext>(s->device);
        return CUDA_SUCCESS;
    });
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event_handle, unsigned flags) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        const auto found = d.events.find(event_handle);
        if (found == d.events.end()) return CUDA_ERROR_INVALID_HANDLE;
        event &e = *found->second;
        if (e.captured) {
            const std::shared_ptr<capture> c = e.captured;
            if (c->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
            if (s->capture && s->capture != c) return refuse(*s->capture, refuse(*c, CUDA_ERROR_STREAM_CAPTURE_MERGE));
            if (!s->capture) {
                if (s == s->device->legacy) return refuse(*c, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
                s->capture = c;
                c->joined[s] = false;
            }
            const auto joined = c->joined.find(e.on);
            if (joined != c->joined.end() && e.on != s && e.ticket == c->operations.size()) joined->second = true;
            return CUDA_SUCCESS; // captured work keeps the order in which it was queued
        }
        if (s->capture) return refuse(*s->capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
        if (!e.on) return CUDA_SUCCESS;
        const std::shared_ptr<stream> other = e.on;
        const uint64_t ticket = e.ticket;
        return d.enqueue(s, {"wait", [&d, other, ticket] {
            d.drain(other, ticket);
            return CUDA_SUCCESS;
        }});
    });
}

CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void *data) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (!function) return CUDA_ERROR_INVALID_VALUE;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        return d.enqueue(s, {"host function", [function, data] {
            std::unique_lock<std::mutex> &lock = *held_lock;
            lock.unlock();
            inside_host_function = true;
            function(data);
            inside_host_function = false;
            lock.lock();
            return CUDA_SUCCESS;
        }});
    });
}

// ---- captures and graphs --------------------------------------------------------------------------------------------

CUresult cuStreamIsCapturing(CUstream handle, int *status) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (!status) return CUDA_ERROR_INVALID_VALUE;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        if (s == s->device->legacy)
            for (const auto &[other_handle, other] : d.streams)
                if (other->waits_for_legacy && other->capture) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        *status = !s->capture            ? CU_STREAM_CAPTURE_STATUS_NONE
                  : s->capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                         : CU_STREAM_CAPTURE_STATUS_ACTIVE;
        return CUDA_SUCCESS;
    });
}

CUresult cuThreadExchangeStreamCaptureMode(int *mode) {
    return enter(needs_init, [&](driver &) {
        if (!mode || *mode < CU_STREAM_CAPTURE_MODE_GLOBAL || *mode > CU_STREAM_CAPTURE_MODE_RELAXED)
            return CUDA_ERROR_INVALID_VALUE;
        std::swap(*mode, thread_mode);
        return CUDA_SUCCESS;
    });
}

CUresult cuStreamBeginCapture_v2(CUstream handle, int mode) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (mode < CU_STREAM_CAPTURE_MODE_GLOBAL || mode > CU_STREAM_CAPTURE_MODE_RELAXED)
            return CUDA_ERROR_INVALID_VALUE;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        if (s == s->device->legacy) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        if (s->capture) return CUDA_ERROR_ILLEGAL_STATE;
        s->capture = std::make_shared<capture>();
        s->capture->mode = mode;
        s->capture->thread = std::this_thread::get_id();
        s->capture->origin = s;
        d.captures.push_back(s->capture);
        return CUDA_SUCCESS;
    });
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph *result) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (!result) return CUDA_ERROR_INVALID_VALUE;
        *result = nullptr;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        const std::shared_ptr<capture> c = s->capture;
        if (!c) return CUDA_ERROR_ILLEGAL_STATE;
        if (c->mode != CU_STREAM_CAPTURE_MODE_RELAXED && c->thread != std::this_thread::get_id())
            return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
        if (c->origin != s) return refuse(*c, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
        bool unjoined = false;
        s->capture.reset();
        for (const auto &[other, joined] : c->joined) {
            unjoined = unjoined || !joined;
            other->capture.reset();
        }
        for (const auto &[event_handle, e] : d.events)
            if (e->captured == c) e->captured.reset();
        c->joined.clear();
        c->origin.reset();
        for (auto weak = d.captures.begin(); weak != d.captures.end();)
            weak = weak->lock() == c || weak->expired() ? d.captures.erase(weak) : std::next(weak);
        if (c->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        if (unjoined) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
        const auto g = std::make_shared<graph>(graph{std::move(c->operations)});
        d.graphs[g.get()] = g;
        d.count.graphs++;
        d.count.live_graphs++;
        *result = reinterpret_cast<CUgraph>(g.get());
        return CUDA_SUCCESS;
    });
}

// How many there are; handles of nodes are not simulated.
CUresult cuGraphGetNodes(CUgraph handle, void **nodes, std::size_t *count) {
    return enter(needs_context, [&](driver &d) {
        const auto found = d.graphs.find(handle);
        if (!count || found == d.graphs.end()) return CUDA_ERROR_INVALID_VALUE;
        if (nodes) return CUDA_ERROR_NOT_SUPPORTED;
        *count = found->second->operations.size();
        return CUDA_SUCCESS;
    });
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *result, CUgraph handle, unsigned long long flags) {
    return enter(needs_context, [&](driver &d) {
        if (!result) return CUDA_ERROR_INVALID_VALUE;
        const auto found = d.graphs.find(handle);
        if (found == d.graphs.end()) return CUDA_ERROR_INVALID_VALUE;
        if (flags != 0) {
            d.report("cuGraphInstantiateWithFlags: flags " + std::to_string(flags) + " are not simulated");
            return CUDA_ERROR_NOT_SUPPORTED;
        }
        if (d.fails_now(d.set.fail_graph)) return CUDA_ERROR_OUT_OF_MEMORY;
        const auto e = std::make_shared<graph>(*found->second);
        d.executables[e.get()] = e;
        d.count.executables++;
        d.count.live_executables++;
        *result = reinterpret_cast<CUgraphExec>(e.get());
        return CUDA_SUCCESS;
    });
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream_handle) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        const auto found = d.executables.find(handle);
        if (found == d.executables.end()) return CUDA_ERROR_INVALID_VALUE;
        if (const CUresult r = d.stream_of(stream_handle, &s)) return r;
        for (const operation &o : found->second->operations)
            if (const CUresult r = d.enqueue(s, o)) return r;
        return CUDA_SUCCESS;
    });
}

CUresult cuGraphDestroy(CUgraph handle) {
    return enter(needs_init, [&](driver &d) {
        if (d.graphs.erase(handle) == 0) return CUDA_ERROR_INVALID_VALUE;
        d.count.live_graphs--;
        return CUDA_SUCCESS;
    });
}

CUresult cuGraphExecDestroy(CUgraphExec handle) {
    return enter(needs_init, [&](driver &d) {
        if (d.executables.erase(handle) == 0) return CUDA_ERROR_INVALID_VALUE;
        d.count.live_executables--;
        return CUDA_SUCCESS;
    });
}

// ---- events ---------------------------------------------------------------------------------------------------------

CUresult cuEventCreate(CUevent *handle, unsigned flags) {
    return enter(needs_context, [&](driver &d) {
        if (!handle || flags > (CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING)) return CUDA_ERROR_INVALID_VALUE;
        if (d.fails_now(d.set.fail_event)) return CUDA_ERROR_OUT_OF_MEMORY;
        const auto e = std::make_shared<event>();
        e->device = d.current();
        e->has_time = !(flags & CU_EVENT_DISABLE_TIMING);
        d.events[e.get()] = e;
        d.count.events++;
        d.count.live_events++;
        *handle = reinterpret_cast<CUevent>(e.get());
        return CUDA_SUCCESS;
    });
}

CUresult cuEventDestroy_v2(CUevent handle) {
    return enter(needs_context | ends_something, [&](driver &d) {
        if (d.events.erase(handle) == 0) return CUDA_ERROR_INVALID_HANDLE;
        d.count.live_events--;
        return CUDA_SUCCESS;
    });
}

CUresult cuEventRecord(CUevent handle, CUstream stream_handle) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        const auto found = d.events.find(handle);
        if (found == d.events.end()) return CUDA_ERROR_INVALID_HANDLE;
        if (const CUresult r = d.stream_of(stream_handle, &s)) return r;
        const std::shared_ptr<event> e = found->second;
        if (s->capture) {
            if (s->capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
            e->captured = s->capture;
            e->on = s;
            e->ticket = s->capture->operations.size();
            return CUDA_SUCCESS;
        }
        if (const CUresult r = d.enqueue(s, {"event", [e] {
            e->time = std::chrono::steady_clock::now();
            return CUDA_SUCCESS;
        }})) return r;
        e->captured.reset();
        e->on = s;
        e->ticket = s->queued;
        return CUDA_SUCCESS;
    });
}

CUresult cuEventQuery(CUevent handle) {
    return enter(needs_context | is_unsafe_in_capture, [&](driver &d) {
        const auto found = d.events.find(handle);
        if (found == d.events.end()) return CUDA_ERROR_INVALID_HANDLE;
        const std::shared_ptr<event> e = found->second;
        if (e->captured) return refuse(*e->captured, CUDA_ERROR_CAPTURED_EVENT);
        if (!e->on || e->on->done >= e->ticket) return CUDA_SUCCESS;
        d.drain(e->on, e->on->done + 1);
        return e->on->done >= e->ticket ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    });
}

CUresult cuEventSynchronize(CUevent handle) {
    return enter(needs_context | is_unsafe_in_capture, [&](driver &d) {
        const auto found = d.events.find(handle);
        if (found == d.events.end()) return CUDA_ERROR_INVALID_HANDLE;
        const std::shared_ptr<event> e = found->second;
        if (e->captured) return refuse(*e->captured, CUDA_ERROR_CAPTURED_EVENT);
        d.count.synchronizations++;
        if (e->on) d.drain(e->on, e->ticket);
        d.check_guards(*e->device);
        return CUDA_SUCCESS;
    });
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    return enter(needs_context, [&](driver &d) {
        if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
        for (const CUevent handle : {start, end}) {
            const auto found = d.events.find(handle);
            if (found == d.events.end()) return CUDA_ERROR_INVALID_HANDLE;
            const event &e = *found->second;
            if (!e.has_time || !e.on || e.captured) return CUDA_ERROR_INVALID_HANDLE;
            if (e.on->done < e.ticket) return CUDA_ERROR_NOT_READY;
        }
        *milliseconds = std::chrono::duration<float, std::milli>(d.events[end]->time - d.events[start]->time).count();
        return CUDA_SUCCESS;
    });
}
