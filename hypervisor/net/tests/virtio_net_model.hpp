// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A virtio network device on PCI, written from VIRTIO 1.2 (numbers are section numbers of it): what
// a driver must not do is noted as a violation. Offsets and bits are given as numbers, on purpose.
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "hypervisor/core/mmio.hpp"
#include "hypervisor/net/virtio_net.hpp"

namespace undercroft::net {

class VirtioNetModel {
public:
    using Bytes = std::vector<std::uint8_t>;
    struct Queue {
        std::uint16_t max = 256, size = 256, notify_off = 0, vector = 0;
        bool enabled = false;
        std::uint64_t descriptors = 0, driver = 0, device = 0;
        std::uint16_t seen = 0; ///< available buffers taken
        std::uint16_t used = 0; ///< used buffers given back
        unsigned doorbells = 0, interrupts = 0;
    };

    // What it is.
    std::uint64_t offered = 1ULL << 32 | 1ULL << 29 | 1ULL << 28 | 1ULL << 16 | 1ULL << 15 | 1ULL << 5 | 1ULL;
    bool accepts_features = true, resets = true, wants_doorbells = true;
    std::uint32_t multiplier = 4;
    std::uint16_t queues_offered = 3, mtu = 1500, link = 1;
    std::array<std::uint8_t, 6> mac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    // What has become of it.
    std::uint8_t status = 0;
    std::uint64_t accepted = 0;
    Queue queue[2];
    std::vector<Bytes> transmitted;
    std::vector<std::string> violations;
    unsigned resets_seen = 0;

    VirtioNetModel()
    {
        queue[1].notify_off = 1;
        common_.model = notify_.model = device_.model = this;
    }
    VirtioNetModel(VirtioNetModel const&) = delete;
    [[nodiscard]] VirtioWindows windows() { return {&common_, &notify_, &device_, 0x1000, multiplier, 12}; }
    [[nodiscard]] bool event_index() const { return (accepted & 1ULL << 29) != 0; }

    /// Takes what is in the transmit queue: 5.1.6.2. `backwards`: gives the buffers back in the wrong order, which is
    /// allowed.
    void transmit(bool backwards = false)
    {
        std::vector<std::uint16_t> ids;
        while (auto const id = next(queue[1])) {
            Descriptor const d = descriptor(queue[1], *id);
            if (d.flags != 0)
                violation("transmit buffer in several pieces, indirect or to be written");
            auto const* const bytes = reinterpret_cast<std::uint8_t const*>(d.address);
            if (d.length < 12 || std::memcmp(bytes, "\0\0\0\0\0\0\0\0\0\0\0\0", 12) != 0)
                violation("header asks for something");
            transmitted.emplace_back(bytes + 12, bytes + d.length);
            ids.push_back(*id);
        }
        if (backwards)
            ids = {ids.rbegin(), ids.rend()};
        for (std::uint16_t const id : ids)
            give_back(queue[1], id, 0);
        wish(queue[1]);
    }

    /// Puts a frame into the next receive buffer: 5.1.6.3. False: there is none.
    bool receive(Bytes const& frame)
    {
        auto const id = next(queue[0]);
        if (!id) {
            wish(queue[0]);
            return false;
        }
        Descriptor const d = descriptor(queue[0], *id);
        if (d.flags != 2)
            violation("receive buffer not writable, or in several pieces");
        if (d.length < 1526)
            violation("receive buffer too small: 5.1.6.3.1");
        auto* const bytes = reinterpret_cast<std::uint8_t*>(d.address);
        std::memset(bytes, 0, 12);
        bytes[10] = 1; // num_buffers
        std::memcpy(bytes + 12, frame.data(), std::min<std::size_t>(frame.size(), d.length - 12));
        give_back(queue[0], *id, static_cast<std::uint32_t>(12 + frame.size()));
        return true;
    }

    /// One element of the used ring, whatever is true: 2.7.8.
    void give_back(Queue& q, std::uint32_t id, std::uint32_t length)
    {
        std::uint8_t* const element = memory(q.device) + 4 + 8 * (q.used % q.size);
        std::memcpy(element, &id, 4);
        std::memcpy(element + 4, &length, 4);
        std::uint16_t const before = q.used++;
        std::memcpy(memory(q.device) + 2, &q.used, 2);
        // 2.7.7.1: whether the driver wants an interrupt.
        std::uint16_t const event = word(q.driver + 4 + 2U * q.size), flags = word(q.driver);
        bool const wanted =
            event_index() ? static_cast<std::uint16_t>(q.used - event - 1) < static_cast<std::uint16_t>(q.used - before)
                          : (flags & 1) == 0;
        q.interrupts += wanted ? 1 : 0;
    }
    void set_used_index(Queue& q, std::uint16_t index) { std::memcpy(memory(q.device) + 2, &index, 2); }

    /// Says from when on it wants doorbells: 2.7.10.
    void wish(Queue& q)
    {
        std::uint16_t const event = wants_doorbells ? q.seen : static_cast<std::uint16_t>(q.seen - 1);
        std::uint16_t const flags = wants_doorbells || event_index() ? 0 : 1;
        std::memcpy(memory(q.device) + 4 + 8 * q.size, &event, 2);
        std::memcpy(memory(q.device), &flags, 2);
    }

private:
    struct Descriptor {
        std::uint64_t address;
        std::uint32_t length;
        std::uint16_t flags, next;
    };
    struct Window : core::MmioBus {
        VirtioNetModel* model = nullptr;
    };
    struct Common final : Window {
        std::uint64_t load(std::uint64_t at, unsigned width) override { return model->common_load(at, width); }
        void store(std::uint64_t at, unsigned width, std::uint64_t v) override { model->common_store(at, width, v); }
    };
    struct Notify final : Window {
        std::uint64_t load(std::uint64_t, unsigned) override { return 0; }
        void store(std::uint64_t at, unsigned width, std::uint64_t v) override { model->notified(at, width, v); }
    };
    struct Device final : Window {
        std::uint64_t load(std::uint64_t at, unsigned width) override { return model->device_load(at, width); }
        void store(std::uint64_t, unsigned, std::uint64_t) override
        {
            model->violation("configuration written"); // 5.1.4.2: read-only for a driver of version 1
        }
    };

    void violation(std::string const& what) { violations.push_back(what); }
    static std::uint8_t* memory(std::uint64_t address) { return reinterpret_cast<std::uint8_t*>(address); }
    static std::uint16_t word(std::uint64_t address)
    {
        std::uint16_t value;
        std::memcpy(&value, memory(address), 2);
        return value;
    }
    static Descriptor descriptor(Queue const& q, std::uint16_t id)
    {
        Descriptor d;
        std::memcpy(&d, memory(q.descriptors) + 16U * id, 16);
        return d;
    }
    std::optional<std::uint16_t> next(Queue& q)
    {
        if (!q.enabled || (status & 4) == 0 || word(q.driver + 2) == q.seen)
            return {};
        std::uint16_t const id = word(q.driver + 4 + 2U * (q.seen++ % q.size));
        if (id >= q.size)
            violation("descriptor outside the table");
        return id;
    }

    void reset()
    {
        ++resets_seen;
        status = 0;
        accepted = 0;
        device_select_ = driver_select_ = select_ = 0;
        for (Queue& q : queue) {
            Queue fresh;
            fresh.max = fresh.size = q.max;
            fresh.notify_off = q.notify_off;
            fresh.doorbells = q.doorbells;
            fresh.interrupts = q.interrupts;
            q = fresh;
        }
    }

    std::uint64_t common_load(std::uint64_t at, unsigned width)
    {
        Queue const none{0, 0};
        Queue const& q = select_ < 2 ? queue[select_] : none;
        switch (at << 4 | width) {
        case 0x04 << 4 | 4:
            return device_select_ > 1 ? 0 : static_cast<std::uint32_t>(offered >> (32 * device_select_));
        case 0x12 << 4 | 2:
            return queues_offered;
        case 0x14 << 4 | 1:
            return status;
        case 0x15 << 4 | 1:
            return 7;
        case 0x18 << 4 | 2:
            return q.size;
        case 0x1E << 4 | 2:
            return q.notify_off;
        default:
            violation("read at " + std::to_string(at) + " width " + std::to_string(width));
            return 0;
        }
    }

    void set_status(std::uint8_t to)
    {
        if (to == 0) {
            if (resets)
                reset();
            return;
        }
        if ((status & ~to) != 0)
            violation("status bit cleared: 2.1.1");
        if ((to & 4) != 0 && (to & 8) == 0)
            violation("DRIVER_OK without FEATURES_OK: 3.1.1");
        if ((to & 8) != 0 && (to & 3) != 3)
            violation("features before the driver is there: 3.1.1");
        if (!accepts_features || (accepted & ~offered) != 0)
            to &= static_cast<std::uint8_t>(~8);
        bool const begins = (to & ~status & 4) != 0;
        status = to;
        if (begins)
            for (Queue& q : queue)
                if (q.enabled)
                    wish(q);
    }

    void common_store(std::uint64_t at, unsigned width, std::uint64_t value)
    {
        auto const half = static_cast<std::uint32_t>(value);
        Queue dummy;
        Queue& q = select_ < 2 ? queue[select_] : dummy;
        if (at >= 0x18 && ((status & 8) == 0 || (status & 4) != 0 || q.enabled))
            violation("queue set up at the wrong time: 3.1.1, 4.1.4.3.2");
        auto const put = [half](std::uint64_t& into, unsigned shift) {
            into = (into & ~(0xFFFFFFFFULL << shift)) | std::uint64_t{half} << shift;
        };
        switch (at << 4 | width) {
        case 0x00 << 4 | 4:
            device_select_ = half;
            break;
        case 0x08 << 4 | 4:
            driver_select_ = half;
            break;
        case 0x0C << 4 | 4:
            if ((status & 8) != 0)
                violation("features after FEATURES_OK: 2.2.1");
            put(accepted, 32 * (driver_select_ & 1));
            break;
        case 0x10 << 4 | 2:
            config_vector_ = static_cast<std::uint16_t>(value);
            break;
        case 0x14 << 4 | 1:
            set_status(static_cast<std::uint8_t>(value));
            break;
        case 0x16 << 4 | 2:
            select_ = static_cast<std::uint16_t>(value);
            break;
        case 0x18 << 4 | 2:
            if (value == 0 || (value & (value - 1)) != 0 || value > q.max)
                violation("queue size");
            q.size = static_cast<std::uint16_t>(value);
            break;
        case 0x1A << 4 | 2:
            q.vector = static_cast<std::uint16_t>(value);
            break;
        case 0x1C << 4 | 2:
            enable(q, value);
            break;
        case 0x20 << 4 | 4:
        case 0x24 << 4 | 4:
            put(q.descriptors, (at & 4) * 8);
            break;
        case 0x28 << 4 | 4:
        case 0x2C << 4 | 4:
            put(q.driver, (at & 4) * 8);
            break;
        case 0x30 << 4 | 4:
        case 0x34 << 4 | 4:
            put(q.device, (at & 4) * 8);
            break;
        default:
            violation("write at " + std::to_string(at) + " width " + std::to_string(width));
        }
    }

    void enable(Queue& q, std::uint64_t value)
    {
        if (value != 1)
            violation("queue disabled: 4.1.4.3.2");
        if (q.descriptors % 16 != 0 || q.driver % 2 != 0 || q.device % 4 != 0 || q.descriptors == 0)
            violation("alignment: 2.7");
        if (q.vector != 0xFFFF || config_vector_ != 0xFFFF)
            violation("interrupts wanted");
        q.enabled = true;
    }

    void notified(std::uint64_t at, unsigned width, std::uint64_t value)
    {
        if ((status & 4) == 0)
            violation("doorbell before DRIVER_OK: 3.1.1");
        if (width != 2 || value > 1 || at != std::uint64_t{queue[value & 1].notify_off} * multiplier)
            return violation("wrong doorbell: 4.1.5.2");
        ++queue[value].doorbells;
        if (value == 0)
            wish(queue[0]);
        else
            transmit();
    }

    std::uint64_t device_load(std::uint64_t at, unsigned width)
    {
        if (at < 6 && width == 1)
            return mac[at];
        if (at == 6 && width == 2)
            return link;
        if (at == 10 && width == 2)
            return mtu;
        violation("configuration read at " + std::to_string(at));
        return 0;
    }

    Common common_;
    Notify notify_;
    Device device_;
    std::uint32_t device_select_ = 0, driver_select_ = 0;
    std::uint16_t select_ = 0, config_vector_ = 0;
};

} // namespace undercroft::net
