// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A machine made of files below a temporary folder, as Linux shows them, with a processor of our choice.
#include <map>
#include <string_view>

#include "preflight/facts.hpp"

namespace undercroft::preflight {

class FakeMachine {
public:
    FakeMachine();
    ~FakeMachine();
    FakeMachine(FakeMachine const&) = delete;
    FakeMachine& operator=(FakeMachine const&) = delete;

    /// CPUID as a Ryzen 7 3700X and a Xeon E-2288G have it, in the leaves that count.
    void amd();
    void intel();
    void guest_of(std::string_view hypervisor); ///< 12 letters
    core::CpuidResult& cpuid(std::uint32_t leaf) { return cpuid_[leaf]; }
    void msr(std::uint32_t number, std::uint64_t value) { msrs_[number] = value; }
    void no_msrs(MsrFailure why) { failure_ = why; }

    void file(std::string const& path, std::string_view text);
    void uefi(bool secure_boot);
    void memory(std::uint64_t mib, unsigned cpus);
    void device(std::string const& address, unsigned vendor, unsigned device, unsigned class_code,
                std::string_view interface = {});
    /// Where sysfs has virtio's interfaces: a folder deeper.
    void virtio_interface(std::string const& address, std::string const& name);
    void disk(std::string const& controller, std::string const& name);
    void interface(std::string const& name);
    void default_route(std::string const& name);

    [[nodiscard]] Facts facts() const;

private:
    std::filesystem::path root_;
    std::map<std::uint32_t, core::CpuidResult> cpuid_;
    std::map<std::uint32_t, std::uint64_t> msrs_;
    MsrFailure failure_ = MsrFailure::refused;
};

} // namespace undercroft::preflight
