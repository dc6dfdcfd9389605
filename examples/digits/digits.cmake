# SPDX-License-Identifier: Apache-2.0
#
# The network as a library, for the program `digits` and for `qmm demo`, and its data for the installed tree.
include_guard(GLOBAL)
include(${PROJECT_SOURCE_DIR}/cli/npy.cmake)

add_library(qmm_digits STATIC
    ${CMAKE_CURRENT_LIST_DIR}/data.c ${CMAKE_CURRENT_LIST_DIR}/digits.c ${CMAKE_CURRENT_LIST_DIR}/report.c)
target_include_directories(qmm_digits PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(qmm_digits PUBLIC qmm::qmm_static qmm_npy PRIVATE qmm_warnings m)

if(QMM_INSTALL)
    install(DIRECTORY ${CMAKE_CURRENT_LIST_DIR}/data/ DESTINATION ${CMAKE_INSTALL_DATADIR}/qmm/digits
        FILES_MATCHING PATTERN "*.npy")
endif()
