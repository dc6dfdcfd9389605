# SPDX-License-Identifier: Apache-2.0
#
# The .npy reader and writer, for the command and the examples, whichever is built first.
include_guard(GLOBAL)

add_library(qmm_npy STATIC ${CMAKE_CURRENT_LIST_DIR}/npy.c)
target_include_directories(qmm_npy PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(qmm_npy PRIVATE qmm_warnings)
