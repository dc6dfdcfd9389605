// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <cstdlib>
#include <cstring>

namespace simulator {

namespace {

const struct {
    const char *option, *word;
    long long value;
} words[] = {{"order", "random", 0}, {"order", "forward", 1}, {"order", "reverse", 2}};

// CUDA C++ Programming Guide, table of technical specifications: shared memory of a block, at most.
const struct {
    long long compute;
    std::size_t kilobytes;
} shared_limits[] = {{50, 48},  {52, 48},  {53, 48},  {60, 48},   {61, 48},   {62, 48},   {70, 96},  {72, 96},
                     {75, 64},  {80, 163}, {86, 99},  {87, 163},  {89, 99},   {90, 227},  {100, 227}, {103, 227},
                     {110, 227}, {120, 99}, {121, 99}};

} // namespace

bool is_known_compute(long long compute) {
    for (const auto &limit : shared_limits)
        if (limit.compute == compute) return true;
    return false;
}

std::size_t shared_limit_of(long long compute) {
    for (const auto &limit : shared_limits)
        if (limit.compute == compute) return limit.kilobytes << 10;
    return 48 << 10;
}

bool options::set(const std::string &key, long long value) {
#define SIMULATOR_OPTION(member, first, least, most)                                                               \
    if (key == #member) {                                                                                          \
        if (value < (least) || value > (most) ||                                                                   \
            ((key == "compute" || (key == "executes" && value != 0)) && !is_known_compute(value))) {               \
            refusals += "option " + key + " cannot be " + std::to_string(value) + "\n";                            \
            return false;                                                                                          \
        }                                                                                                          \
        member = value;                                                                                            \
        return true;                                                                                               \
    }
    SIMULATOR_OPTIONS(SIMULATOR_OPTION)
#undef SIMULATOR_OPTION
    refusals += "there is no option " + key + "\n";
    return false;
}

bool options::set(const std::string &key, const std::string &value) {
    if (key == "name") {
        name = value;
        return true;
    }
    for (const auto &w : words)
        if (key == w.option && value == w.word) return set(key, w.value);
    char *end = nullptr;
    long long number = std::strtoll(value.c_str(), &end, 10);
    const bool is_number = end != value.c_str() && (*end == '\0' || (std::strchr("kmg", *end) && end[1] == '\0'));
    if (!is_number) {
        refusals += "option " + key + ": '" + value + "' is no number\n";
        return false;
    }
    if (*end == 'k') number <<= 10;
    if (*end == 'm') number <<= 20;
    if (*end == 'g') number <<= 30;
    return set(key, number);
}

void options::parse(const char *list) {
    std::string rest = list ? list : "";
    while (!rest.empty()) {
        const std::size_t comma = rest.find(',');
        const std::string pair = rest.substr(0, comma);
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
        const std::size_t equals = pair.find('=');
        if (equals == std::string::npos)
            refusals += "option '" + pair + "' has no value\n";
        else
            set(pair.substr(0, equals), pair.substr(equals + 1));
    }
}

execution options::execution() const {
    simulator::execution how;
    how.capability = (int)(executes ? executes : compute);
    how.lies = (lie_dp4a ? lie::lie_dp4a : 0u) | (lie_mma || lie_mma_k16 ? lie::lie_mma_k16 : 0u) |
               (lie_mma || lie_mma_k32 ? lie::lie_mma_k32 : 0u) | (lie_ldmatrix ? lie::lie_ldmatrix : 0u) |
               (lie_cp_async ? lie::lie_cp_async : 0u) | (lie_wgmma ? lie::lie_wgmma : 0u) |
               (lie_tma ? lie::lie_tma : 0u);
    how.order = (simulator::order)order;
    how.seed = (uint64_t)seed;
    how.workers = (unsigned)workers;
    how.shared_limit = shared_limit_of(compute);
    return how;
}

} // namespace simulator
