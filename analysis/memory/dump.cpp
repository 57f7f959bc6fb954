// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/memory/dump.hpp"

#include <elf.h>

#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "analysis/read/error.hpp"
#include "base/le.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

/// github.com/504ensicsLabs/LiME, doc/README.md.
struct LimeHeader {
    Le<std::uint32_t> magic;
    Le<std::uint32_t> version;
    Le<std::uint64_t> first;
    Le<std::uint64_t> last; ///< included
    Le<std::uint64_t> reserved;
};
static_assert(sizeof(LimeHeader) == 32);
constexpr std::uint32_t lime_magic = 0x4C694D45;

class DumpFile {
public:
    explicit DumpFile(fs::path file)
        : file_{std::move(file)}, part_{file_.string() + ".part"}, out_{part_, std::ios::binary},
          digest_{EVP_MD_CTX_new(), EVP_MD_CTX_free}
    {
        if (!out_ || !digest_ || EVP_DigestInit_ex(digest_.get(), EVP_sha256(), nullptr) != 1)
            throw Error{fmt::format("{}: cannot be created", part_.string())};
    }
    ~DumpFile()
    {
        std::error_code ignored; // there is none left after close()
        fs::remove(part_, ignored);
    }
    DumpFile(DumpFile const&) = delete;
    DumpFile& operator=(DumpFile const&) = delete;

    void write(std::span<char const> bytes)
    {
        out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        if (!out_ || EVP_DigestUpdate(digest_.get(), bytes.data(), bytes.size()) != 1)
            throw Error{fmt::format("{}: cannot be written (disk full?)", part_.string())};
    }
    template <typename T>
    void write_struct(T const& value)
    {
        write({reinterpret_cast<char const*>(&value), sizeof(value)});
    }
    void seek(std::uint64_t offset) { out_.seekp(static_cast<std::streamoff>(offset)); }

    std::string close()
    {
        out_.close();
        std::error_code error;
        if (out_)
            fs::rename(part_, file_, error);
        if (!out_ || error)
            throw Error{fmt::format("{}: cannot be written (disk full?)", file_.string())};
        Hash hash{};
        EVP_DigestFinal_ex(digest_.get(), hash.data(), nullptr);
        return to_hex(hash);
    }

private:
    fs::path file_;
    fs::path part_;
    std::ofstream out_;
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest_;
};

/// p_vaddr is the physical address too, so that a debugger shows memory by its physical address.
void write_elf_headers(DumpFile& file, std::vector<AddressRange> const& regions)
{
    if (regions.size() >= PN_XNUM)
        throw Error{fmt::format("{} regions are more than an ELF file holds", regions.size())};
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_CORE;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_phoff = sizeof(header);
    header.e_ehsize = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = static_cast<Elf64_Half>(regions.size());
    file.write_struct(header);
    std::uint64_t const headers = sizeof(header) + regions.size() * sizeof(Elf64_Phdr);
    std::uint64_t const data = (headers + page_bytes - 1) / page_bytes * page_bytes;
    std::uint64_t offset = data;
    for (AddressRange const& region : regions) {
        std::uint64_t const bytes = region.end - region.first;
        file.write_struct(Elf64_Phdr{.p_type = PT_LOAD,
                                     .p_flags = PF_R | PF_W | PF_X,
                                     .p_offset = offset,
                                     .p_vaddr = region.first,
                                     .p_paddr = region.first,
                                     .p_filesz = bytes,
                                     .p_memsz = bytes,
                                     .p_align = page_bytes});
        offset += bytes;
    }
    file.write(std::vector<char>(data - headers));
}

} // namespace

std::string write_dump(MemoryImage const& image, DumpFormat format, fs::path const& file)
{
    DumpFile out{file};
    std::vector<AddressRange> const& regions = image.ram().regions();
    if (format == DumpFormat::elf)
        write_elf_headers(out, regions);
    for (AddressRange const& region : regions) {
        if (format == DumpFormat::lime)
            out.write_struct(LimeHeader{.magic = lime_magic,
                                        .version = std::uint32_t{1},
                                        .first = region.first,
                                        .last = region.end - 1,
                                        .reserved = std::uint64_t{0}});
        if (format == DumpFormat::padded)
            out.seek(region.first);
        image.read(region, [&](std::span<char const> bytes) { out.write(bytes); });
    }
    return out.close();
}

} // namespace undercroft::analysis
