// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/stack.hpp"

#include <lwip/dhcp.h>
#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/timeouts.h>
#include <lwip/udp.h>
#include <netif/ethernet.h>

#include "hypervisor/core/log.hpp"
#include "hypervisor/net/lwip_port/port.hpp"

namespace undercroft::net {

using wire::CounterId;

namespace {

constexpr unsigned frames_per_poll = 32;
constexpr std::uint64_t timers_ms = 10, link_check_ms = 500, arp_request_ms = 250;
constexpr std::size_t largest_payload = max_payload_bytes(9000);
constexpr std::size_t headroom = LWIP_MEM_ALIGN_SIZE(static_cast<std::size_t>(PBUF_TRANSPORT));

/// The datagram being composed, with room in front for the headers that lwIP adds, so
/// that the frame is contiguous and copied once, into the card's buffer. lwIP allows
/// headers to grow down to the end of the pbuf structure only, hence one object.
struct OutgoingPacket {
    pbuf_custom control;
    alignas(16) std::uint8_t bytes[headroom + largest_payload];
};

OutgoingPacket outgoing;
netif the_netif;
Stack* the_stack = nullptr;
bool lwip_started = false;

ip_addr_t to_lwip(core::Ipv4 const& address)
{
    ip_addr_t result;
    IP4_ADDR(&result, address[0], address[1], address[2], address[3]);
    return result;
}

void keep(pbuf*) {} // `outgoing` is static

} // namespace

/// lwIP's callbacks, which are C functions without room for `this`.
struct LwipGlue {
    static err_t link_output(netif*, pbuf* packet)
    {
        auto const* const bytes = static_cast<std::byte const*>(packet->payload);
        if (the_stack == nullptr || packet->next != nullptr || !the_stack->nic_->queue({bytes, packet->len}))
            return ERR_IF;
        the_stack->queued_ = true;
        return ERR_OK;
    }

    static err_t init(netif* interface)
    {
        MacAddress const mac = the_stack->nic_->mac();
        interface->name[0] = 'u';
        interface->name[1] = 'c';
        interface->hwaddr_len = ETH_HWADDR_LEN;
        __builtin_memcpy(interface->hwaddr, mac.data(), mac.size());
        interface->mtu = the_stack->mtu_;
        interface->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
        interface->output = etharp_output;
        interface->linkoutput = link_output;
        return ERR_OK;
    }

    static void collector(void*, udp_pcb*, pbuf* packet, ip_addr_t const*, u16_t)
    {
        Stack& stack = *the_stack;
        if (packet->tot_len <= stack.received_.size() && stack.received_bytes_ == 0)
            stack.received_bytes_ = pbuf_copy_partial(packet, stack.received_.data(), packet->tot_len, 0);
        else
            stack.counters_->add(CounterId::frames_unusable);
        pbuf_free(packet);
    }

    static void time_server(void*, udp_pcb*, pbuf* packet, ip_addr_t const*, u16_t)
    {
        Stack& stack = *the_stack;
        auto const room = static_cast<u16_t>(stack.answer_.size());
        stack.answer_bytes_ = pbuf_copy_partial(packet, stack.answer_.data(), room, 0);
        stack.answer_arrived_ = stack.clock_->tsc();
        pbuf_free(packet);
    }

    static udp_pcb* open(core::Ipv4 const& address, std::uint16_t port, udp_recv_fn receiver, bool checksum)
    {
        udp_pcb* const pcb = udp_new();
        ip_addr_t const remote = to_lwip(address);
        // Connected: lwIP hands over only what comes from this address and port.
        if (pcb == nullptr || udp_bind(pcb, IP4_ADDR_ANY, 0) != ERR_OK || udp_connect(pcb, &remote, port) != ERR_OK)
            return nullptr;
        if (!checksum)
            udp_setflags(pcb,
                         static_cast<u8_t>(
                             udp_flags(pcb) |
                             UDP_FLAGS_NOCHKSUM)); // optional in IPv4 (RFC 768); the seal is stronger and pays twice
        udp_recv(pcb, receiver, nullptr);
        return pcb;
    }
};

Stack::Stack(StackOptions const& options, Nic& nic, core::Clock const& clock, core::Counters& counters)
    : nic_{&nic}, clock_{&clock}, counters_{&counters}, mtu_{options.mtu}, collector_{options.collector},
      tick_ms_{clock.tsc_hz() / 1000}
{
    the_stack = this;
    start_lwip_port(clock, counters, options.random_seed);
    if (!lwip_started)
        lwip_init();
    lwip_started = true;
    ip_addr_t const zero = to_lwip({});
    ip_addr_t const address = options.dhcp ? zero : to_lwip(options.address);
    ip_addr_t const netmask = options.dhcp ? zero : to_lwip(options.netmask);
    ip_addr_t const gateway = options.dhcp ? zero : to_lwip(options.gateway);
    netif_add(&the_netif, &address, &netmask, &gateway, nullptr, LwipGlue::init, ethernet_input);
    netif_set_default(&the_netif);
    netif_set_up(&the_netif);
    if (options.dhcp && dhcp_start(&the_netif) != ERR_OK)
        core::log(core::LogLevel::error, core::str("network: DHCP could not be started"));
    collector_pcb_ = LwipGlue::open(options.collector, options.collector_port, LwipGlue::collector, false);
    if (options.sntp)
        time_pcb_ = LwipGlue::open(options.sntp_server, options.sntp_port, LwipGlue::time_server, true);
}

void Stack::shut_down()
{
    for (udp_pcb* pcb : {collector_pcb_, time_pcb_})
        if (pcb != nullptr)
            udp_remove(pcb);
    collector_pcb_ = time_pcb_ = nullptr;
    dhcp_stop(&the_netif);
    dhcp_cleanup(&the_netif);
    netif_remove(&the_netif);
    the_netif = {};
    the_stack = nullptr;
}

void Stack::poll(Tsc now)
{
    frames_left_ = frames_per_poll;
    if (now >= next_link_check_)
        check_link(now);
    if (now >= next_timers_) {
        next_timers_ = Tsc{now.value + timers_ms * tick_ms_};
        sys_check_timeouts();
    }
    if (!next_hop_known_ || now >= next_arp_request_)
        check_next_hop(now);
}

void Stack::check_link(Tsc now)
{
    next_link_check_ = Tsc{now.value + link_check_ms * tick_ms_};
    counters_->add(CounterId::nic_rx_dropped, nic_->take_rx_dropped());
    bool const up = nic_->link_up();
    if (up == link_)
        return;
    link_ = up;
    core::log(core::LogLevel::info, core::str(up ? "network: link up" : "network: link down"));
    if (up)
        netif_set_link_up(&the_netif);
    else
        netif_set_link_down(&the_netif);
}

namespace {

/// The collector itself or the gateway towards it.
ip4_addr_t const* next_hop(ip_addr_t const& collector)
{
    return ip4_addr_netcmp(&collector, netif_ip4_addr(&the_netif), netif_ip4_netmask(&the_netif))
               ? &collector
               : netif_ip4_gw(&the_netif);
}

} // namespace

bool Stack::next_hop_in_table() const
{
    ip_addr_t const collector = to_lwip(collector_);
    eth_addr* mac = nullptr;
    ip4_addr_t const* ip = nullptr;
    return etharp_find_addr(&the_netif, next_hop(collector), &mac, &ip) >= 0;
}

void Stack::check_next_hop(Tsc now)
{
    bool const known = link_ && !ip4_addr_isany(netif_ip4_addr(&the_netif)) && next_hop_in_table();
    if (known && !next_hop_known_)
        core::log(core::LogLevel::info, core::str("network: the way to the collector is known"));
    next_hop_known_ = known;
    if (now < next_arp_request_)
        return;
    next_arp_request_ = Tsc{now.value + arp_request_ms * tick_ms_};
    if (known || !link_ || ip4_addr_isany(netif_ip4_addr(&the_netif)))
        return;
    ip_addr_t const collector = to_lwip(collector_);
    etharp_request(&the_netif, next_hop(collector));
}

std::span<std::uint8_t> Stack::buffer()
{
    return {outgoing.bytes + headroom, max_payload_bytes(mtu_)};
}

bool Stack::send(std::size_t bytes)
{
    // lwIP would keep the packet while it asks for the next hop's address, but the buffer is
    // written again at once: so a packet is handed over only when it leaves at once.
    if (collector_pcb_ == nullptr || bytes > max_payload_bytes(mtu_) || !next_hop_in_table()) {
        next_hop_known_ = false;
        return false;
    }
    outgoing.control.custom_free_function = keep;
    pbuf* const packet = pbuf_alloced_custom(PBUF_TRANSPORT, static_cast<u16_t>(bytes), PBUF_RAM, &outgoing.control,
                                             outgoing.bytes, sizeof(outgoing.bytes));
    if (packet == nullptr)
        return false;
    bool const sent = udp_send(collector_pcb_, packet) == ERR_OK;
    pbuf_free(packet);
    return sent;
}

void Stack::kick()
{
    if (queued_)
        nic_->kick();
    queued_ = false;
}

std::span<std::uint8_t> Stack::receive()
{
    received_bytes_ = 0;
    while (frames_left_ > 0 && received_bytes_ == 0) {
        auto const frame = nic_->receive();
        if (frame.empty())
            break;
        --frames_left_;
        input(frame);
    }
    return {received_.data(), received_bytes_};
}

void Stack::input(std::span<std::byte const> frame)
{
    // One frame, one pool buffer: lwIP never sees a chain.
    pbuf* const packet = frame.size() < SIZEOF_ETH_HDR || frame.size() > PBUF_POOL_BUFSIZE
                             ? nullptr
                             : pbuf_alloc(PBUF_RAW, static_cast<u16_t>(frame.size()), PBUF_POOL);
    if (packet == nullptr) {
        counters_->add(CounterId::frames_unusable);
        return;
    }
    pbuf_take(packet, frame.data(), static_cast<u16_t>(frame.size()));
    if (the_netif.input(packet, &the_netif) != ERR_OK)
        pbuf_free(packet);
}

bool Stack::send_request(std::span<std::uint8_t const> packet)
{
    if (time_pcb_ == nullptr || !link_ || ip4_addr_isany(netif_ip4_addr(&the_netif)))
        return false;
    pbuf* const copy = pbuf_alloc(PBUF_TRANSPORT, static_cast<u16_t>(packet.size()), PBUF_RAM);
    if (copy == nullptr)
        return false;
    pbuf_take(copy, packet.data(), static_cast<u16_t>(packet.size()));
    bool const sent = udp_send(time_pcb_, copy) == ERR_OK;
    pbuf_free(copy);
    return sent;
}

std::size_t Stack::take_answer(std::span<std::uint8_t> into, Tsc& arrived)
{
    std::size_t const bytes = std::min(answer_bytes_, into.size());
    __builtin_memcpy(into.data(), answer_.data(), bytes);
    arrived = answer_arrived_;
    answer_bytes_ = 0;
    return bytes;
}

core::Ipv4 Stack::address() const
{
    ip4_addr_t const* const own = netif_ip4_addr(&the_netif);
    return {ip4_addr1(own), ip4_addr2(own), ip4_addr3(own), ip4_addr4(own)};
}

} // namespace undercroft::net
