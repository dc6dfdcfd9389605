# SPDX-License-Identifier: Apache-2.0
#
# cmake -DOUTPUT=X.fatbin -DREPORT=X.resources -P compile_image.cmake -- NVCC WORD ...
# Runs nvcc, keeps what it says (the resources of each kernel) in REPORT, and shows it only if it fails.
set(command)
set(found OFF)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
    if(found)
        list(APPEND command "${CMAKE_ARGV${i}}")
    elseif(CMAKE_ARGV${i} STREQUAL "--")
        set(found ON)
    endif()
endforeach()
execute_process(COMMAND ${command} RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
if(NOT status EQUAL 0)
    file(REMOVE ${OUTPUT})
    message(FATAL_ERROR "${text}")
endif()
file(WRITE ${REPORT} "${text}")
