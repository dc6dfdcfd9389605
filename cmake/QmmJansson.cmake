# SPDX-License-Identifier: Apache-2.0
#
# `qmm_jansson`: the JSON parser of the command, for .safetensors files and the comparison of results. It is optional:
# the target is always there, and brings QMM_HAVE_JANSSON where Jansson is used (QMM_JANSSON_BUILT). The static library
# is preferred, so that the command is one file that starts wherever it is copied to.

set(QMM_JANSSON AUTO CACHE STRING "Read JSON with Jansson: AUTO (where it is found), ON, or OFF")
set_property(CACHE QMM_JANSSON PROPERTY STRINGS AUTO ON OFF)

add_library(qmm_jansson INTERFACE)
set(QMM_JANSSON_BUILT OFF)
if((QMM_BUILD_CLI OR QMM_BUILD_TESTS) AND NOT QMM_JANSSON STREQUAL "OFF")
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
        pkg_check_modules(JANSSON QUIET IMPORTED_TARGET jansson>=2.11)
    endif()
    if(JANSSON_FOUND)
        set(QMM_JANSSON_BUILT ON)
    elseif(QMM_JANSSON STREQUAL "ON")
        message(FATAL_ERROR "QMM_JANSSON is ON, but Jansson 2.11 or later was not found (Debian: libjansson-dev)")
    else()
        message(STATUS "No Jansson (Debian: libjansson-dev): no .safetensors files, no comparison of results")
    endif()
endif()
if(QMM_JANSSON_BUILT)
    find_library(QMM_JANSSON_STATIC libjansson.a HINTS ${JANSSON_LIBDIR} ${JANSSON_STATIC_LIBRARY_DIRS})
    mark_as_advanced(QMM_JANSSON_STATIC)
    target_compile_definitions(qmm_jansson INTERFACE QMM_HAVE_JANSSON)
    if(QMM_JANSSON_STATIC)
        target_link_libraries(qmm_jansson INTERFACE ${QMM_JANSSON_STATIC})
        target_include_directories(qmm_jansson SYSTEM INTERFACE ${JANSSON_INCLUDE_DIRS})
    else()
        target_link_libraries(qmm_jansson INTERFACE PkgConfig::JANSSON)
    endif()
endif()
