// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/vendor.hpp"

#include "hypervisor/backend/svm/svm_vendor.hpp"
#include "hypervisor/backend/vmx/vmx_vendor.hpp"

namespace undercroft::backend {
namespace {

constinit svm::SvmVendor svm_vendor;
constinit vmx::VmxVendor vmx_vendor;

} // namespace

Vendor* find_vendor()
{
    if (svm::present())
        return &svm_vendor;
    return vmx::present() ? &vmx_vendor : nullptr;
}

} // namespace undercroft::backend
