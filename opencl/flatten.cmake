# SPDX-License-Identifier: Apache-2.0
#
# cmake -DINPUT=X.cl -DOUTPUT=FILE -DROOT=FOLDER -P flatten.cmake: joins X.cl with the files it includes by #include "...",
# each once, because OpenCL compiles one text and there is no folder to look into at run time. #line keeps the
# compiler's messages true. Left out is what is the host's alone: files not there, api.h, opencl.h and problem.h.

cmake_minimum_required(VERSION 3.25)
set(seen)
set(text)

function(append file)
    file(STRINGS "${file}" lines ENCODING UTF-8 REGEX "^ *#include \"")
    file(READ "${file}" rest)
    file(RELATIVE_PATH name "${ROOT}" "${file}")
    get_filename_component(folder "${file}" DIRECTORY)
    string(APPEND text "#line 1 \"${name}\"\n")
    set(line 1)
    foreach(include IN LISTS lines)
        string(FIND "${rest}" "${include}" position)
        string(SUBSTRING "${rest}" 0 ${position} before)
        string(LENGTH "${include}" length)
        math(EXPR position "${position} + ${length}")
        string(SUBSTRING "${rest}" ${position} -1 rest)
        string(REGEX REPLACE "[^\n]" "" newlines "${before}")
        string(LENGTH "${newlines}" count)
        math(EXPR line "${line} + ${count}")
        string(APPEND text "${before}")
        string(REGEX REPLACE "^ *#include \"(.*)\".*" "\\1" included "${include}")
        file(REAL_PATH "${included}" included BASE_DIRECTORY "${folder}")
        if(EXISTS "${included}" AND NOT included IN_LIST seen AND NOT included MATCHES "/(api|opencl|problem)\\.h$")
            list(APPEND seen "${included}")
            append("${included}")
            string(APPEND text "#line ${line} \"${name}\"\n")
        endif()
    endforeach()
    string(APPEND text "${rest}")
    set(seen "${seen}" PARENT_SCOPE)
    set(text "${text}" PARENT_SCOPE)
endfunction()

append("${INPUT}")
file(WRITE "${OUTPUT}" "${text}")
