/* The smallest program that acts: the blob from descriptor 0 into memory that is there, one decision to descriptor 1. */
#include <unistd.h>

#include "meander_policy.h"

static _Alignas(64) unsigned char blob[1 << 22], room[1 << 18];
static float observation[1024], action[1024];

int main(void) {
  meander_policy policy;
  const meander_noise noise = {0, 0, MEANDER_EVALUATE};
  size_t size = 0;
  ssize_t n;
  while ((n = read(0, blob + size, sizeof blob - size)) > 0) size += (size_t)n;
  if (meander_policy_open(&policy, blob, size, 1) != MEANDER_OK) return 1;
  if (policy.observations > 1024 || policy.chunk * policy.actions > 1024) return 1;
  if (meander_policy_test(&policy, room, sizeof room, 0) != MEANDER_OK) return 2;
  if (meander_act(&policy, room, sizeof room, observation, noise, 0, action, 0) != MEANDER_OK) return 3;
  return write(1, action, policy.actions * sizeof *action) < 0;
}
