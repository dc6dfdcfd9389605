// SPDX-License-Identifier: Apache-2.0
//
// A C++ program of somebody else: the handles in unique_ptr, a 2 x 3 by 3 x 2 product with its exact integers.
#include <qmm/qmm.h>

#include <array>
#include <cstdint>
#include <iostream>
#include <memory>
#include <stdexcept>

using Context = std::unique_ptr<qmm_context, decltype(&qmm_context_close)>;
using Buffer = std::unique_ptr<qmm_buffer, decltype(&qmm_buffer_free)>;

static void check(const Context &context, qmm_status status) {
    if (status != QMM_OK) throw std::runtime_error(context ? qmm_context_error(context.get()) : qmm_status_name(status));
}

template <class T, std::size_t N> static Buffer upload(const Context &context, const std::array<T, N> &values) {
    qmm_buffer *buffer = nullptr;
    check(context, qmm_buffer_create(context.get(), sizeof values, &buffer));
    Buffer owner(buffer, &qmm_buffer_free);
    check(context, qmm_buffer_upload(context.get(), buffer, 0, values.data(), sizeof values));
    return owner;
}

int main() try {
    qmm_context *opened = nullptr;
    const qmm_status status = qmm_context_open("cpu", nullptr, &opened);
    const Context context(opened, &qmm_context_close);
    check(context, status);

    const Buffer a = upload(context, std::array<std::int8_t, 6>{ 1, -2, 3, 127, -128, 0 });
    const Buffer b = upload(context, std::array<std::int8_t, 6>{ 4, -5, 6, 7, -128, 127 });
    const Buffer c = upload(context, std::array<std::int32_t, 4>{});
    const qmm_tensor ta = qmm_matrix(a.get(), QMM_S8, 2, 3);
    const qmm_tensor tb = qmm_matrix(b.get(), QMM_S8, 3, 2);
    const qmm_tensor tc = qmm_matrix(c.get(), QMM_S32, 2, 2);
    check(context, qmm_matmul(context.get(), nullptr, &ta, &tb, &tc));

    std::array<std::int32_t, 4> got{};
    check(context, qmm_buffer_download(context.get(), c.get(), 0, got.data(), sizeof got));
    std::cout << "qmm " << qmm_version() << ':';
    for (const std::int32_t value : got) std::cout << ' ' << value;
    std::cout << '\n';
    return got == std::array<std::int32_t, 4>{ -392, 362, -260, -1531 } ? 0 : 1;
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
