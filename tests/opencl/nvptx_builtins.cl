/* SPDX-License-Identifier: Apache-2.0
 *
 * The built-in functions of OpenCL C that the kernels for NVIDIA call, for clang's nvptx64, which has none of them.
 * check_offline.sh puts this before a program's source. */
#define BUILT_IN __attribute__((overloadable, always_inline))

size_t BUILT_IN get_local_id(uint dimension) {
    return dimension == 0 ? __nvvm_read_ptx_sreg_tid_x() : 0;
}

size_t BUILT_IN get_group_id(uint dimension) {
    return dimension == 0 ? __nvvm_read_ptx_sreg_ctaid_x() : 0;
}

void BUILT_IN barrier(cl_mem_fence_flags flags) {
    __syncthreads();
}

int BUILT_IN min(int x, int y) {
    return x < y ? x : y;
}

uint BUILT_IN clz(uint x) {
    return x ? (uint)__builtin_clz(x) : 32;
}

uchar8 BUILT_IN convert_uchar8(uint8 x) {
    return __builtin_convertvector(x, uchar8);
}

ushort8 BUILT_IN convert_ushort8(uint8 x) {
    return __builtin_convertvector(x, ushort8);
}

uint8 BUILT_IN vload8(size_t n, const uint *from) {
    from += n * 8;
    return (uint8)(from[0], from[1], from[2], from[3], from[4], from[5], from[6], from[7]);
}

void BUILT_IN vstore4(int4 x, size_t n, int *to) {
    to += n * 4;
    to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
}

void BUILT_IN vstore4(uint4 x, size_t n, uint *to) {
    to += n * 4;
    to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
}
