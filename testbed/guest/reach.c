// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// reach FIRST LAST PATTERN-LBA SCRATCH-LBA: tries everything a guest's kernel could to read and
// write guest-physical memory [FIRST, LAST] (the sensor's) and prints JSON of what came of it:
//  1. by CPU: loads and stores through /dev/mem in pages spread over the range;
//  2. by disk command: READ DMA EXT of the pattern into the range, WRITE DMA EXT out of it,
//     the PRDT wholly and partly inside, with the command first, and with the FIS area;
//     before and after, the same commands with own memory, to show that they work at all.
// The AHCI driver must be unbound. Only the host can tell what memory really held: it
// looks for the patterns in the range and compares what was read (reach_check.py).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    page = 4096,
    edge_pages = 128, // looked at one by one at both ends, where code and tables are
    spread_pages = 64,
    px_clb = 0x00,
    px_clbu = 0x04,
    px_fb = 0x08,
    px_fbu = 0x0c,
    px_is = 0x10,
    px_ie = 0x14,
    px_cmd = 0x18,
    px_tfd = 0x20,
    px_sctl = 0x2c,
    px_serr = 0x30,
    px_ci = 0x38,
    cmd_start = 1U << 0,
    cmd_fis = 1U << 4,
    cmd_fis_running = 1U << 14,
    cmd_running = 1U << 15,
    tables_fis = 0x400,
    tables_command = 0x800,
};
static char const cpu_pattern[] = "undercroft reach: written by a guest CPU";
static uint32_t volatile* port; // registers of port 1, the test disk's
static uint8_t* tables;         // one page: command list, FIS area, command table
static uint64_t tables_at;
static uint8_t* own; // two pages, not necessarily adjacent in physical memory
static uint64_t own_at[2];
static sigjmp_buf escape;

static void die(char const* what)
{
    printf("{\"error\":\"%s: %s\"}\n", what, strerror(errno));
    exit(1);
}

static void pause_ms(long ms)
{
    struct timespec const time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void on_fault(int signal)
{
    siglongjmp(escape, signal);
}

static uint64_t physical(void const* at)
{
    uint64_t entry = 0;
    int const file = open("/proc/self/pagemap", O_RDONLY);
    if (file < 0 || pread(file, &entry, 8, (off_t)((uintptr_t)at / page * 8)) != 8 || !(entry >> 63))
        die("pagemap");
    close(file);
    return (entry & ((1ULL << 55) - 1)) * page;
}

static uint8_t* locked_pages(size_t count)
{
    uint8_t* const at = mmap(NULL, count * page, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED)
        die("locked memory");
    memset(at, 0, count * page);
    return at;
}

// --- by CPU -------------------------------------------------------------------------------

static void print_hex(uint8_t const* bytes, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        printf("%02x", bytes[i]);
}

/// Loads 64 bytes of a page, stores a pattern in it, loads again.
static void touch(int memory, uint64_t address)
{
    uint8_t before[64], after[64];
    uint8_t volatile* const at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, memory, (off_t)address);
    printf("{\"address\":%llu,", (unsigned long long)address);
    if (at == MAP_FAILED) {
        printf("\"refused_by_linux\":\"%s\"}", strerror(errno));
        return;
    }
    int const signal = sigsetjmp(escape, 1);
    if (signal) {
        printf("\"signal\":%d}", signal);
    } else {
        for (unsigned i = 0; i < sizeof before; ++i)
            before[i] = at[i];
        for (unsigned i = 0; i < sizeof cpu_pattern; ++i)
            at[1024 + i] = (uint8_t)cpu_pattern[i];
        for (unsigned i = 0; i < sizeof after; ++i)
            after[i] = at[1024 + i];
        printf("\"read\":\"");
        print_hex(before, sizeof before);
        printf("\",\"read_back\":\"");
        print_hex(after, sizeof after);
        printf("\"}");
    }
    munmap((void*)at, page);
}

static void by_cpu(uint64_t first, uint64_t last)
{
    int const memory = open("/dev/mem", O_RDWR | O_SYNC);
    if (memory < 0)
        die("/dev/mem");
    uint64_t const pages = (last + 1 - first) / page;
    uint64_t const stride = pages > 2 * edge_pages + spread_pages ? (pages - 2 * edge_pages) / spread_pages : 1;
    printf("{\"by_cpu\":[");
    for (uint64_t i = 0; i < pages; i += i < edge_pages || i + edge_pages >= pages ? 1 : stride) {
        printf("%s", i ? "," : "");
        touch(memory, first + i * page);
    }
    printf("]}\n");
    close(memory);
}

// --- by disk command ----------------------------------------------------------------------

static void set(unsigned reg, uint32_t value)
{
    port[reg / 4] = value;
}
static uint32_t get(unsigned reg)
{
    return port[reg / 4];
}

static int wait_clear(unsigned reg, uint32_t bits, int ms)
{
    for (; ms > 0 && (get(reg) & bits); --ms)
        pause_ms(1);
    return !(get(reg) & bits);
}

static void stop_port(void)
{
    set(px_cmd, get(px_cmd) & ~cmd_start);
    wait_clear(px_cmd, cmd_running, 500);
    set(px_cmd, get(px_cmd) & ~cmd_fis);
    wait_clear(px_cmd, cmd_fis_running, 500);
}

static void start_port(uint64_t list, uint64_t fis)
{
    stop_port();
    set(px_clb, (uint32_t)list);
    set(px_clbu, (uint32_t)(list >> 32));
    set(px_fb, (uint32_t)fis);
    set(px_fbu, (uint32_t)(fis >> 32));
    set(px_serr, ~0U);
    set(px_is, ~0U);
    set(px_ie, 0);
    set(px_cmd, get(px_cmd) | cmd_fis);
    set(px_cmd, get(px_cmd) | cmd_start);
}

struct piece {
    uint64_t address;
    uint32_t bytes;
};

/// One READ/WRITE DMA EXT in slot 0; prints what became of it.
static void command(char const* name, int write, uint64_t lba, struct piece const* pieces, unsigned count)
{
    uint32_t total = 0;
    uint32_t* const header = (uint32_t*)tables;
    uint8_t* const fis = tables + tables_command;
    memset(tables, 0, 32);
    memset(fis, 0, 0x80);
    for (unsigned i = 0; i < count; ++i) {
        uint32_t* const entry = (uint32_t*)(fis + 0x80 + i * 16);
        entry[0] = (uint32_t)pieces[i].address;
        entry[1] = (uint32_t)(pieces[i].address >> 32);
        entry[2] = 0;
        entry[3] = pieces[i].bytes - 1;
        total += pieces[i].bytes;
    }
    header[0] = 5 | (write ? 1U << 6 : 0) | count << 16;
    header[2] = (uint32_t)(tables_at + tables_command);
    header[3] = (uint32_t)((tables_at + tables_command) >> 32);
    uint8_t const bytes[] = {0x27,
                             0x80,
                             write ? 0x35 : 0x25,
                             0,
                             (uint8_t)lba,
                             (uint8_t)(lba >> 8),
                             (uint8_t)(lba >> 16),
                             0xe0,
                             (uint8_t)(lba >> 24),
                             (uint8_t)(lba >> 32),
                             (uint8_t)(lba >> 40),
                             0,
                             (uint8_t)(total / 512),
                             (uint8_t)(total / 512 >> 8)};
    memcpy(fis, bytes, sizeof bytes);
    __asm__ volatile("mfence" ::: "memory");
    set(px_ci, 1);
    int const cleared = wait_clear(px_ci, 1, 1500);
    printf("{\"command\":\"%s\",\"write\":%d,\"lba\":%llu,\"address\":%llu,\"ci_clear\":%d,\"transferred\":%u,\"tfd\":%"
           "u,\"is\":%u}\n",
           name, write, (unsigned long long)lba, (unsigned long long)pieces[0].address, cleared, header[1],
           get(px_tfd) & 0xffU, get(px_is));
    set(px_is, ~0U);
    if (!cleared)
        start_port(tables_at, tables_at + tables_fis);
}

/// The same read and write with own memory: shows that this program's commands work.
static void control(char const* name, uint64_t pattern_lba, uint64_t scratch_lba)
{
    struct piece const mine[] = {{own_at[0], page}, {own_at[1], page}};
    memset(own, 0, 2 * page);
    command(name, 0, pattern_lba, mine, 2);
    printf("{\"control\":\"%s\",\"read\":\"", name);
    print_hex(own, 64);
    printf("\"}\n");
    command(name, 1, scratch_lba, mine, 2);
}

static void by_disk(uint64_t first, uint64_t last, uint64_t pattern_lba, uint64_t scratch_lba)
{
    uint64_t const middle = first + (last + 1 - first) / 2 / page * page;
    uint64_t const targets[] = {first, middle, last + 1 - page};
    start_port(tables_at, tables_at + tables_fis);
    control("before", pattern_lba, scratch_lba);
    for (unsigned i = 0; i < 3; ++i) {
        struct piece const inside[] = {{targets[i], page}};
        struct piece const mixed[] = {{own_at[0], page}, {targets[i], page}};
        command("into the sensor", 0, pattern_lba, inside, 1);
        command("into the sensor, second entry", 0, pattern_lba, mixed, 2);
        command("out of the sensor", 1, scratch_lba + 16 + i * 16, inside, 1);
        command("out of the sensor, second entry", 1, scratch_lba + 64 + i * 16, mixed, 2);
    }
    struct piece const across[] = {{first - 2048, page}};
    command("across the edge", 0, pattern_lba, across, 1);
    start_port(tables_at, middle); // a received FIS would be written there
    struct piece const mine[] = {{own_at[0], page}};
    command("FIS area in the sensor", 0, pattern_lba, mine, 1);
    start_port(middle, tables_at + tables_fis);
    // Without ST a command would wait in PxCI and run at the next start, whatever its table holds then.
    int const started = (get(px_cmd) & cmd_start) != 0;
    if (started)
        set(px_ci, 1);
    int const cleared = started && wait_clear(px_ci, 1, 500);
    printf("{\"command\":\"command list in the "
           "sensor\",\"write\":0,\"lba\":0,\"address\":%llu,\"ci_clear\":%d,\"transferred\":0,\"tfd\":%u,\"is\":%u}\n",
           (unsigned long long)middle, cleared, get(px_tfd) & 0xffU, get(px_is));
    start_port(tables_at, tables_at + tables_fis);
    control("after", pattern_lba, scratch_lba);
    stop_port();
}

static void map_port(char const* resource)
{
    int const file = open(resource, O_RDWR | O_SYNC);
    if (file < 0)
        die(resource);
    uint8_t* const abar = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (abar == MAP_FAILED)
        die("mmap of the AHCI registers");
    uint32_t volatile* const hba = (uint32_t volatile*)abar;
    hba[1] = 1U << 31; // GHC.AE, interrupts off
    port = (uint32_t volatile*)(abar + 0x100 + 0x80);
}

int main(int argc, char** argv)
{
    if (argc != 6)
        return fprintf(stderr, "usage: reach FIRST LAST PATTERN-LBA SCRATCH-LBA RESOURCE5\n"), 2;
    uint64_t const first = strtoull(argv[1], NULL, 0), last = strtoull(argv[2], NULL, 0);
    struct sigaction const action = {.sa_handler = on_fault};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    tables = locked_pages(1);
    tables_at = physical(tables);
    own = locked_pages(2);
    own_at[0] = physical(own);
    own_at[1] = physical(own + page);
    by_cpu(first, last);
    map_port(argv[5]);
    by_disk(first, last, strtoull(argv[3], NULL, 0), strtoull(argv[4], NULL, 0));
    return 0;
}
