// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What the entropy of a block costs on this processor, natively: an emulator runs the same code some
// fifteen times slower, and no throughput measured in one says what a real machine would do.
// Prints nanoseconds per 4,096-byte block: new random ones, random ones seen before, zeros.
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "hypervisor/observe/entropy_memo.hpp"

namespace {

using undercroft::observe::EntropyMemo;
constexpr std::size_t block_bytes = undercroft::observe::max_entropy_bytes;

double ns_per_block(EntropyMemo& memo, std::vector<std::byte> const& data)
{
    std::size_t const blocks = data.size() / block_bytes;
    auto const start = std::chrono::steady_clock::now();
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < blocks; ++i)
        sum += memo.entropy(data.data() + i * block_bytes, block_bytes);
    std::chrono::duration<double, std::nano> const spent = std::chrono::steady_clock::now() - start;
    asm volatile("" : : "r"(sum));
    return spent.count() / static_cast<double>(blocks);
}

} // namespace

int main()
{
    std::mt19937_64 random{1};
    std::vector<std::byte> fresh(std::size_t{64} << 20), zeros(std::size_t{64} << 20);
    for (auto& byte : fresh)
        byte = static_cast<std::byte>(random());
    auto const memo = std::make_unique<EntropyMemo>(random());
    double const first = ns_per_block(*memo, fresh);
    std::vector<std::byte> const again(fresh.begin(), fresh.begin() + (std::ptrdiff_t{8} << 20));
    auto const warm = std::make_unique<EntropyMemo>(random());
    (void)ns_per_block(*warm, again);
    double const repeated = ns_per_block(*warm, again);
    std::printf("new %.0f repeated %.0f zeros %.0f\n", first, repeated, ns_per_block(*memo, zeros));
}
