// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/log_ring.hpp"

#include "hypervisor/core/text.hpp"

namespace undercroft::core {
namespace {

constexpr std::string_view level_names[] = {"error", "warning", "info", "debug"};

/// Enough for any holder on another CPU (it formats at most one buffer), far less than a second.
constexpr unsigned lock_attempts = 1U << 20;

bool lock_within(Spinlock& lock, unsigned attempts)
{
    for (unsigned i = 0; i < attempts; ++i) {
        if (lock.try_lock())
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

} // namespace

void LogRing::put_bytes(std::uint64_t position, void const* from, std::size_t bytes)
{
    auto const* const source = static_cast<char const*>(from);
    for (std::size_t i = 0; i < bytes; ++i)
        memory_[(position + i) % memory_.size()] = source[i];
}

void LogRing::get_bytes(std::uint64_t position, void* into, std::size_t bytes) const
{
    auto* const target = static_cast<char*>(into);
    for (std::size_t i = 0; i < bytes; ++i)
        target[i] = memory_[(position + i) % memory_.size()];
}

std::size_t LogRing::entry_bytes(std::uint64_t position) const
{
    Entry entry;
    get_bytes(position, &entry, sizeof(entry));
    return sizeof(entry) + entry.length;
}

void LogRing::append_piece(LogLevel level, std::uint64_t time_ns, std::string_view text)
{
    Entry const entry{time_ns, static_cast<std::uint16_t>(text.size()), static_cast<std::uint8_t>(level)};
    std::size_t const needed = sizeof(entry) + text.size();
    while (head_ - tail_ + needed > memory_.size()) {
        tail_ += entry_bytes(tail_);
        ++oldest_sequence_;
    }
    put_bytes(head_, &entry, sizeof(entry));
    for (std::size_t i = 0; i < text.size(); ++i) {
        char const c = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
        put_bytes(head_ + sizeof(entry) + i, &c, 1);
    }
    head_ += needed;
    next_sequence_.fetch_add(1, std::memory_order_release);
}

void LogRing::append(LogLevel level, std::uint64_t time_ns, std::string_view text)
{
    if (!lock_within(lock_, lock_attempts)) {
        given_up_.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    if (std::uint64_t const given_up = this->given_up(); given_up != given_up_reported_) {
        char message[64];
        TextBuffer note{message};
        note.put("log lines given up: ").put_decimal(given_up - given_up_reported_);
        given_up_reported_ = given_up;
        append_piece(LogLevel::warning, time_ns, note.view());
    }
    do {
        append_piece(level, time_ns, slice(text, 0, max_text));
        text = slice(text, max_text);
    } while (!text.empty());
    lock_.unlock();
}

std::size_t LogRing::format(std::uint64_t position, std::uint64_t sequence, std::span<char> into) const
{
    Entry entry;
    get_bytes(position, &entry, sizeof(entry));
    char text[max_text];
    get_bytes(position + sizeof(entry), text, entry.length);
    TextBuffer line{into};
    line.put_decimal(sequence).put(' ').put_decimal(entry.time_ns / 1'000'000'000).put('.');
    line.put_decimal(entry.time_ns / 1000 % 1'000'000, 6).put(' ').put(level_names[entry.level & 3]).put(": ");
    line.put(std::string_view{text, entry.length}).put('\n');
    return line.full() ? 0 : line.view().size();
}

LogRead LogRing::read(std::uint64_t cursor, std::span<char> into) const
{
    LogRead result;
    result.next = cursor;
    if (!lock_within(lock_, lock_attempts))
        return result;
    std::uint64_t const end = next_sequence_.load(std::memory_order_relaxed);
    std::uint64_t sequence = oldest_sequence_;
    std::uint64_t position = tail_;
    if (cursor < oldest_sequence_)
        result.lost = oldest_sequence_ - cursor;
    for (; sequence < end && sequence < cursor; ++sequence)
        position += entry_bytes(position);
    for (; sequence < end; ++sequence) {
        std::size_t const bytes = format(position, sequence, into.subspan(result.bytes));
        if (bytes == 0)
            break;
        result.bytes += bytes;
        position += entry_bytes(position);
    }
    result.next = sequence;
    lock_.unlock();
    return result;
}

} // namespace undercroft::core
