// SPDX-License-Identifier: Apache-2.0
//
// One .cu file, as C++. Images may use one name for different functions, as they may on the device, where each is a
// module of its own: hence the unnamed namespace. The headers that must stay outside of it come first.
#include "simulated_device.h"
#include "simulated_ptx.h"

#include <limits.h>
#include <stdbool.h>

#include "../../host/problem.h"

namespace {

#include QMM_SIMULATED_IMAGE

} // namespace
