// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/hdfs/checksum.hpp"

#include <openssl/evp.h>
#include <zlib.h>

#include <array>
#include <bit>
#include <memory>
#include <span>
#include <vector>

#include "collector/store/crc32c.hpp"

namespace undercroft::collector {
namespace {

constexpr std::size_t md5_bytes = 16;

class Md5 {
public:
    Md5() { EVP_DigestInit_ex(context_.get(), EVP_md5(), nullptr); }
    void add(void const* data, std::size_t bytes) { EVP_DigestUpdate(context_.get(), data, bytes); }
    [[nodiscard]] std::string finish()
    {
        std::string result(md5_bytes, '\0');
        EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(result.data()), nullptr);
        return result;
    }

private:
    struct Free {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, Free> context_{EVP_MD_CTX_new()};
};

std::uint32_t crc_of(std::span<std::uint8_t const> chunk, bool castagnoli)
{
    if (castagnoli)
        return crc32c(0, chunk);
    return static_cast<std::uint32_t>(::crc32(0, chunk.data(), static_cast<unsigned>(chunk.size())));
}

/// HDFS takes the MD5 of the buffer that it collects the blocks' MD5s in, not of its used part: 32 bytes, doubled as
/// often as necessary, the rest zero.
std::size_t buffer_padding(std::uint64_t blocks)
{
    return std::bit_ceil(std::max<std::uint64_t>(blocks * md5_bytes, 32)) - blocks * md5_bytes;
}

} // namespace

std::string hdfs_md5(File const& file, std::uint64_t bytes, std::uint64_t block_bytes, HdfsChecksum const& like)
{
    std::uint64_t const block = block_bytes == 0 ? bytes : block_bytes;
    std::vector<std::uint8_t> chunk(like.bytes_per_crc);
    Md5 whole;
    std::uint64_t blocks = 0;
    for (std::uint64_t first = 0; first < bytes; first += block) {
        Md5 of_block;
        std::uint64_t const end = std::min(bytes, first + std::min(block, bytes - first));
        for (std::uint64_t at = first; at < end;) {
            std::size_t const wanted = std::min<std::uint64_t>(chunk.size(), end - at);
            if (file.read_at(at, std::span{chunk.data(), wanted}) != wanted)
                throw StoreError{file.path().string() + " became shorter while it was compared", 0};
            std::uint32_t const crc = crc_of(std::span{chunk}.first(wanted), like.castagnoli);
            std::array<unsigned char, 4> const text{
                static_cast<unsigned char>(crc >> 24), static_cast<unsigned char>(crc >> 16),
                static_cast<unsigned char>(crc >> 8), static_cast<unsigned char>(crc)};
            of_block.add(text.data(), text.size());
            at += wanted;
        }
        std::string const md5 = of_block.finish();
        whole.add(md5.data(), md5.size());
        ++blocks;
        if (bytes - first <= block)
            break;
    }
    for (std::size_t left = buffer_padding(blocks); left > 0;) {
        constexpr std::array<unsigned char, 64> zeros{};
        std::size_t const part = std::min(left, zeros.size());
        whole.add(zeros.data(), part);
        left -= part;
    }
    return whole.finish();
}

} // namespace undercroft::collector
