// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Data by PIO: written blocks are captured word by word and recorded before the word that completes them at the device.
#include "base/width.hpp"
#include "hypervisor/mediate/ide/channel.hpp"
#include "hypervisor/mediate/ide/registers.hpp"

namespace undercroft::ide {
namespace {

/// Bytes that are the sensor's own copy.
class Captured final : public observe::ExtentSource {
public:
    explicit Captured(std::span<std::byte const> bytes) : bytes_{bytes} {}
    bool next(observe::Extent& extent) override
    {
        if (bytes_.empty())
            return false;
        extent = {Gpa{0}, bytes_.size(), bytes_.data()};
        bytes_ = {};
        return true;
    }

private:
    std::span<std::byte const> bytes_;
};

} // namespace

void Channel::write_data(std::uint16_t base, unsigned width, std::uint32_t value)
{
    if (phase_ != Phase::pio_out) {
        controller_->ports->store(base, width, value);
        return;
    }
    // Blocks are whole sectors, so only a guest that mixes widths gets to a lone word at a block's end.
    if (width == 4 && captured_ % 512 == 510) {
        write_word(base, 2, value & 0xffff);
        write_word(base, 2, value >> 16);
        return;
    }
    write_word(base, width, value);
}

void Channel::write_word(std::uint16_t base, unsigned width, std::uint32_t value)
{
    if (phase_ != Phase::pio_out || ((done_ + captured_) % sector_bytes() == 0 && !takes_data())) {
        count(wire::CounterId::ide_odd_access);
        return; // the device would not take it, or could take it unseen
    }
    __builtin_memcpy(capture_.data() + captured_, &value, width);
    captured_ += width;
    bool const complete = captured_ >= block_ || done_ + captured_ >= medium_bytes();
    if (complete)
        record_captured(0);
    controller_->ports->store(base, width, value);
    if (done_ >= medium_bytes())
        set_phase(Phase::quiet);
}

/// At the start of each sector: a device that is busy now has taken what came before as a block of its own.
bool Channel::takes_data()
{
    std::uint8_t const now = quiet_status();
    if ((now & (status::busy | status::data_request)) == status::data_request)
        return true;
    if (captured_ != 0) {
        count(wire::CounterId::ide_seen_late);
        record_captured(wire::record_flag::seen_late);
    }
    return false;
}

void Channel::record_captured(std::uint16_t more_flags)
{
    Captured data{std::span{capture_}.first(captured_)};
    record_now(done_, captured_, data, more_flags);
    done_ += captured_;
    captured_ = 0;
}

std::uint32_t Channel::read_data(std::uint16_t base, unsigned width)
{
    bool const capture =
        phase_ == Phase::identify_in && width != 1 && captured_ + width <= ata::identify_bytes &&
        (captured_ != 0 || (quiet_status() & (status::busy | status::data_request)) == status::data_request);
    std::uint32_t const value = controller_->ports->load(base, width);
    if (!capture)
        return value;
    __builtin_memcpy(capture_.data() + captured_, &value, width);
    captured_ += width;
    if (captured_ == ata::identify_bytes)
        finish_identify();
    return value;
}

void Channel::finish_identify()
{
    captured_ = 0;
    set_phase(Phase::quiet);
    Drive& who = drive();
    ata::Identity& identity = who.identity;
    std::uint16_t const sector_before = identity.sector_bytes;
    if (!ata::parse_identify(std::span{capture_}.first<ata::identify_bytes>(), identity))
        return warn(warned_identify_, "IDENTIFY DEVICE data not usable");
    if (who.identified && identity.sector_bytes != sector_before)
        warn(warned_identify_, "logical sector size changed");
    who.identified = true;
    who.multiple = identity.multiple;
    controller_->observer->describe(source(), identity.sector_bytes, identity.sectors * (identity.sector_bytes / 512),
                                    identity.model, identity.serial);
}

} // namespace undercroft::ide
