/* Numbers that look random and are the same for the same seed, so that what a test found can be had again. */
#ifndef SKIFF_CHANCE_H
#define SKIFF_CHANCE_H
#include <stdint.h>

static uint64_t chance_state = 1;

static inline void chance_seed(uint64_t seed) { chance_state = seed == 0 ? 1 : seed; }

/* @returns a number below `below`, by xorshift64. */
static inline uint32_t chance(uint32_t below) {
  chance_state ^= chance_state << 13;
  chance_state ^= chance_state >> 7;
  chance_state ^= chance_state << 17;
  return (uint32_t)(chance_state >> 16) % below;
}

#endif
