/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of statuses, and the version. */
#include "qmm/qmm.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *qmm_version(void) {
    return TEXT(QMM_VERSION_MAJOR) "." TEXT(QMM_VERSION_MINOR) "." TEXT(QMM_VERSION_PATCH);
}

const char *qmm_status_name(qmm_status status) {
    switch (status) {
    case QMM_OK: return "QMM_OK";
    case QMM_INVALID_ARGUMENT: return "QMM_INVALID_ARGUMENT";
    case QMM_UNSUPPORTED: return "QMM_UNSUPPORTED";
    case QMM_NO_DEVICE: return "QMM_NO_DEVICE";
    case QMM_OUT_OF_MEMORY: return "QMM_OUT_OF_MEMORY";
    case QMM_BUILD_FAILED: return "QMM_BUILD_FAILED";
    case QMM_DEVICE_FAILED: return "QMM_DEVICE_FAILED";
    case QMM_INTERNAL: return "QMM_INTERNAL";
    }
    return "unknown status";
}
