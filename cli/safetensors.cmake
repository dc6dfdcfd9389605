# SPDX-License-Identifier: Apache-2.0
#
# The .safetensors reader, for the command and the tests. Without Jansson it refuses every file.
include_guard(GLOBAL)

add_library(qmm_safetensors STATIC ${CMAKE_CURRENT_LIST_DIR}/safetensors.c)
target_include_directories(qmm_safetensors PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(qmm_safetensors PUBLIC qmm_jansson PRIVATE qmm_warnings)
