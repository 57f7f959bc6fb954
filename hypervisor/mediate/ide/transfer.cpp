// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/mediate/ide/transfer.hpp"

namespace undercroft::ide {

Transfer transfer_of(std::uint8_t opcode)
{
    switch (opcode) {
    case 0x20: // READ SECTORS and without retry, EXT, MULTIPLE EXT, STREAM EXT, MULTIPLE
    case 0x21:
    case 0x24:
    case 0x29:
    case 0x2b:
    case 0xc4:
        return Transfer::pio_in;
    case 0x30: // WRITE SECTORS and without retry, EXT, CFA, MULTIPLE EXT, STREAM EXT, VERIFY
    case 0x31:
    case 0x34:
    case 0x38:
    case 0x39:
    case 0x3b:
    case 0x3c:
    case 0xc5: // MULTIPLE, CFA MULTIPLE, MULTIPLE FUA EXT
    case 0xcd:
    case 0xce:
        return Transfer::pio_out;
    case 0x25: // READ DMA EXT, STREAM DMA EXT, DMA and without retry
    case 0x2a:
    case 0xc8:
    case 0xc9:
    case 0x35: // WRITE DMA EXT, STREAM DMA EXT, DMA FUA EXT, DMA and without retry
    case 0x3a:
    case 0x3d:
    case 0xca:
    case 0xcb:
    case 0x06: // DATA SET MANAGEMENT
        return Transfer::dma;
    case 0x26: // READ and WRITE DMA QUEUED, EXT and FUA EXT
    case 0x36:
    case 0x3e:
    case 0xc7:
    case 0xcc:
        return Transfer::dma_queued;
    case 0xec:
        return Transfer::identify;
    case 0xa0: // PACKET, IDENTIFY PACKET DEVICE
    case 0xa1:
        return Transfer::packet;
    default:
        return Transfer::other;
    }
}

bool in_multiple_blocks(std::uint8_t opcode)
{
    return opcode == 0x39 || opcode == 0xc5 || opcode == 0xcd || opcode == 0xce;
}

} // namespace undercroft::ide
