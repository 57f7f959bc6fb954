// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/vendor.hpp"

#include "hypervisor/backend/svm/svm_vendor.hpp"

namespace undercroft::backend {
namespace {

constinit svm::SvmVendor svm_vendor;

} // namespace

Vendor* find_vendor()
{
    return svm::present() ? &svm_vendor : nullptr;
}

} // namespace undercroft::backend
