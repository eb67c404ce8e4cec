/*
 * Virtqueues (split rings: Virtual I/O Device 1.1, section 2.6). Each of the guest's has a twin in the memory that the
 * file server sees: with the same numbers of descriptors, but buffers of our own. What the guest asks is copied once and
 * not looked at again, so that it cannot change while it is served; what is answered goes where the guest first said.
 */
#include "relay.h"
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NEXT 1
#define WRITABLE 2
#define INDIRECT 4

struct descriptor {
  uint64_t address;
  uint32_t bytes;
  uint16_t flags, next;
};

struct available {
  uint16_t flags, index, ring[RING_MAX];
};

struct used {
  uint16_t flags, index;
  struct {
    uint32_t id, bytes;
  } ring[RING_MAX];
};

struct queue queues[QUEUES];

static struct {
  uint16_t taken, returned;
  struct descriptor own[RING_MAX]; /* as the guest had them when it asked */
  unsigned char busy[RING_MAX];
  unsigned char slot[RING_MAX]; /* of the request that begins with this descriptor: its number and one */
} states[QUEUES];

/* Where the parts of a twin are: descriptors, available, used. */
static const size_t parts[] = {0, 16384, 20480};

static void *twin(unsigned index, int part) { return shadow + (size_t)index * RING_BYTES + parts[part]; }

uint64_t server_ring(unsigned index, int part) {
  return SHADOW_USER + (uint64_t)index * RING_BYTES + parts[part];
}

void make_queues(void) {
  for (unsigned i = 0; i < QUEUES; i++) {
    struct queue *q = &queues[i];
    q->guest_kick = q->guest_call = -1;
    q->server_kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    q->server_call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->server_kick < 0 || q->server_call < 0) fail("cannot make events");
  }
}

/* Both sides begin at the same place. */
void rebase(unsigned index, uint16_t base) {
  struct available *available = twin(index, 1);
  struct used *used = twin(index, 2);
  available->index = used->index = states[index].taken = states[index].returned = base;
}

static void notify(int fd) {
  uint64_t one = 1;
  if (fd >= 0 && write(fd, &one, sizeof one) < 0) return; /* It is being told already. */
}

/* Copies one request into a slot: its descriptors, and what is to be read of them. */
static void copy_request(unsigned index, const struct descriptor *table, uint16_t head, int slot) {
  unsigned size = queues[index].size;
  struct descriptor *twins = twin(index, 0);
  size_t at = slot_offset(slot), end = at + SLOT_BYTES;
  for (uint16_t i = head;; i = table[i].next) {
    if (i >= size || states[index].busy[i]) fail("the guest has a ring of descriptors, or names one twice");
    const struct descriptor *d = &table[i];
    if (d->bytes == 0 || d->bytes > end - at || (d->flags & INDIRECT)) fail("the guest has a request of a wrong size");
    states[index].busy[i] = 1;
    states[index].own[i] = *d;
    if (!(d->flags & WRITABLE)) peek_guest(d->address, shadow + at, d->bytes);
    twins[i] = *d;
    twins[i].address = SHADOW_GUEST + at;
    at += (d->bytes + 63) & ~(size_t)63;
    if (at > end) at = end;
    if (!(d->flags & NEXT)) break;
  }
  states[index].slot[head] = (unsigned char)(slot + 1);
}

/* Takes what the guest asks, as much as there are slots for. */
void take(unsigned index) {
  static struct descriptor table[RING_MAX];
  struct queue *q = &queues[index];
  struct available *available = twin(index, 1);
  uint16_t to, *taken = &states[index].taken;
  int slot, any = 0;
  if (!q->running) return;
  peek(q->available + 2, &to, sizeof to);
  if (to == *taken) return;
  if ((uint16_t)(to - *taken) > q->size) fail("the guest asks more than its ring holds");
  peek(q->descriptors, table, q->size * sizeof *table);
  while (*taken != to && (slot = take_slot()) >= 0) {
    uint16_t head;
    peek(q->available + 4 + 2 * (*taken % q->size), &head, sizeof head);
    copy_request(index, table, head, slot);
    available->ring[*taken % q->size] = head;
    __atomic_store_n(&available->index, ++*taken, __ATOMIC_RELEASE);
    any = 1;
  }
  if (any) notify(q->server_kick);
}

/* Copies the answer to one request to where the guest wants it. */
static void copy_answer(unsigned index, uint32_t head, uint32_t bytes) {
  unsigned size = queues[index].size;
  if (head >= size || states[index].slot[head] == 0) fail("the file server answers what nobody asked");
  int slot = states[index].slot[head] - 1;
  size_t begin = slot_offset(slot), at = begin, end = at + SLOT_BYTES;
  for (uint16_t i = (uint16_t)head;; i = states[index].own[i].next) {
    const struct descriptor *d = &states[index].own[i];
    if (d->flags & WRITABLE) {
      uint32_t part = bytes < d->bytes ? bytes : d->bytes;
      if (part > 0) poke_guest(d->address, shadow + at, part);
      bytes -= part;
    }
    states[index].busy[i] = 0;
    at += (d->bytes + 63) & ~(size_t)63;
    if (at > end) at = end;
    if (!(d->flags & NEXT)) break;
  }
  states[index].slot[head] = 0;
  free_slot(slot, at - begin);
}

/* Hands over what the file server has answered. */
void give_back(unsigned index) {
  struct queue *q = &queues[index];
  struct used *used = twin(index, 2);
  uint16_t to = __atomic_load_n(&used->index, __ATOMIC_ACQUIRE), *returned = &states[index].returned;
  if (q->size == 0 || to == *returned) return;
  while (*returned != to) {
    unsigned place = *returned % q->size;
    uint32_t answer[2] = {used->ring[place].id, used->ring[place].bytes};
    copy_answer(index, answer[0], answer[1]);
    poke(q->used + 4 + 8ull * place, answer, sizeof answer);
    ++*returned;
  }
  poke(q->used + 2, returned, sizeof *returned);
  notify(q->guest_call);
}

/* After slots have become free: requests may have waited for one. */
void take_all(void) {
  for (unsigned i = 0; i < QUEUES; i++) take(i);
}
