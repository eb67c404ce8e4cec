/* What the files of the relay share: relay.c says what it is. */
#ifndef SKIFF_RELAY_H
#define SKIFF_RELAY_H
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>

#define QUEUES 4
#define RING_MAX 1024

/* vhost-user's description of the guest's memory: where a range of it is in the hypervisor's process. */
struct region {
  uint64_t guest, bytes, user, offset;
};

/* relay.c */
void fail(const char *what);

/* memory.c: the guest's, and what the file server sees in its place */
extern unsigned char *shadow;
extern int shadow_fd;
#define SHADOW_GUEST 0x100000000ull
#define SHADOW_USER 0x200000000ull
#define RING_BYTES 32768
#define SLOT_BYTES (1280 * 1024)
#define SLOTS 64
#define SHADOW_BYTES ((size_t)QUEUES * RING_BYTES + (size_t)SLOTS * SLOT_BYTES)
extern int memory_fd; /* /proc/PID/mem of the hypervisor */
void make_shadow(void);
#define REGIONS 64
void set_regions(const struct region *regions, unsigned count);
void add_region(const struct region *region);
void remove_region(const struct region *region);
void peek(uint64_t user, void *data, size_t bytes);
void poke(uint64_t user, const void *data, size_t bytes);
void peek_guest(uint64_t guest, void *data, size_t bytes);
void poke_guest(uint64_t guest, const void *data, size_t bytes);
int take_slot(void);
size_t slot_offset(int slot);
void free_slot(int slot, size_t touched);
int trim_slots(void);

/* queues.c */
struct queue {
  unsigned size;
  int running;
  uint64_t descriptors, available, used; /* the guest's, as addresses in the hypervisor's process */
  int guest_kick, guest_call;            /* from the hypervisor */
  int server_kick, server_call;          /* ours, for the file server */
};
extern struct queue queues[QUEUES];
void make_queues(void);
uint64_t server_ring(unsigned index, int part); /* 0 descriptors, 1 available, 2 used */
void rebase(unsigned index, uint16_t base);
void take(unsigned index);
void give_back(unsigned index);
void take_all(void);

#endif
