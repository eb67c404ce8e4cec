/*
 * The guest's memory, read and written through /proc/PID/mem of its hypervisor (proc(5)), and the memory that the file
 * server gets to see in its place: the rings of each queue, then slots, one for each request under way. A slot is as
 * large as the largest request of FUSE, 256 pages and its headers; what of it was never used costs nothing.
 */
#include "relay.h"
#include <sys/mman.h>
#include <unistd.h>

/* Bytes of a free slot that are not worth to be given back. */
#define KEPT 65536

unsigned char *shadow;
int shadow_fd;
int memory_fd = -1;

static struct region known[REGIONS];
static unsigned known_count;
static struct {
  int taken;
  size_t touched;
} slots[SLOTS];

void make_shadow(void) {
  shadow_fd = memfd_create("share", MFD_CLOEXEC);
  if (shadow_fd < 0 || ftruncate(shadow_fd, SHADOW_BYTES) < 0) fail("cannot make memory");
  shadow = mmap(NULL, SHADOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, shadow_fd, 0);
  if (shadow == MAP_FAILED) fail("cannot map memory");
}

void set_regions(const struct region *regions, unsigned count) {
  known_count = 0;
  for (unsigned i = 0; i < count; i++) add_region(&regions[i]);
}

void add_region(const struct region *region) {
  if (known_count == REGIONS) fail("too many regions of memory");
  known[known_count++] = *region;
}

void remove_region(const struct region *region) {
  for (unsigned i = 0; i < known_count; i++)
    if (known[i].guest == region->guest && known[i].bytes == region->bytes) known[i--] = known[--known_count];
}

/* What the hypervisor tells us of itself; nothing to be read means that it has ended. */
void peek(uint64_t user, void *data, size_t bytes) {
  if (pread(memory_fd, data, bytes, (off_t)user) != (ssize_t)bytes) fail("the guest's memory cannot be read");
}

void poke(uint64_t user, const void *data, size_t bytes) {
  if (pwrite(memory_fd, data, bytes, (off_t)user) != (ssize_t)bytes) fail("the guest's memory cannot be written");
}

/* The part of a range of the guest that lies in one region: its address in the hypervisor, and how long it is. */
static size_t find(uint64_t guest, size_t bytes, uint64_t *user) {
  for (unsigned i = 0; i < known_count; i++) {
    const struct region *r = &known[i];
    if (guest < r->guest || guest - r->guest >= r->bytes) continue;
    uint64_t left = r->bytes - (guest - r->guest);
    *user = r->user + (guest - r->guest);
    return left < bytes ? (size_t)left : bytes;
  }
  fail("the guest names memory that it does not have");
  return 0;
}

void peek_guest(uint64_t guest, void *data, size_t bytes) {
  while (bytes > 0) {
    uint64_t user;
    size_t part = find(guest, bytes, &user);
    peek(user, data, part);
    guest += part, data = (char *)data + part, bytes -= part;
  }
}

void poke_guest(uint64_t guest, const void *data, size_t bytes) {
  while (bytes > 0) {
    uint64_t user;
    size_t part = find(guest, bytes, &user);
    poke(user, data, part);
    guest += part, data = (const char *)data + part, bytes -= part;
  }
}

/* The lowest free one, so that few are ever touched; -1 if all are taken. */
int take_slot(void) {
  for (int i = 0; i < SLOTS; i++)
    if (!slots[i].taken) return slots[i].taken = 1, i;
  return -1;
}

size_t slot_offset(int slot) { return (size_t)QUEUES * RING_BYTES + (size_t)slot * SLOT_BYTES; }

void free_slot(int slot, size_t touched) {
  slots[slot].taken = 0;
  if (touched > slots[slot].touched) slots[slot].touched = touched;
}

/* Gives memory of free slots back to the host, when there is nothing else to do. Returns whether there is more. */
int trim_slots(void) {
  int more = 0;
  for (int i = 0; i < SLOTS; i++) {
    if (slots[i].touched <= KEPT) continue;
    if (slots[i].taken) {
      more = 1;
      continue;
    }
    size_t pages = (slots[i].touched + 4095) & ~(size_t)4095;
    madvise(shadow + slot_offset(i), pages, MADV_REMOVE);
    slots[i].touched = 0;
  }
  return more;
}
