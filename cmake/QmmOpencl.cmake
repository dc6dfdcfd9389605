# SPDX-License-Identifier: Apache-2.0
#
# The headers of OpenCL, which the OpenCL backend is compiled against; the library is found at run time. Sets
# QMM_OPENCL_BUILT and QMM_OPENCL_HEADERS.

set(QMM_OPENCL AUTO CACHE STRING "Build the OpenCL backend: AUTO (where its headers are found), ON, or OFF")
set_property(CACHE QMM_OPENCL PROPERTY STRINGS AUTO ON OFF)

set(QMM_OPENCL_BUILT OFF)
if(NOT QMM_OPENCL STREQUAL "OFF")
    find_path(QMM_OPENCL_HEADERS CL/cl.h PATHS /usr/local/cuda PATH_SUFFIXES include DOC "Folder that holds CL/cl.h (Debian: opencl-headers)")
    if(QMM_OPENCL_HEADERS)
        set(QMM_OPENCL_BUILT ON)
    elseif(QMM_OPENCL STREQUAL "ON")
        message(FATAL_ERROR "QMM_OPENCL is ON, but CL/cl.h was not found (Debian: opencl-headers)")
    else()
        message(STATUS "No OpenCL backend: CL/cl.h was not found (Debian: opencl-headers)")
    endif()
endif()
