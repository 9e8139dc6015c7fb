/* A whole program for a Cortex-M7 without an operating system: the policy in flash, the workspace in RAM, no heap, no C
 * library. Written for the board MPS2 AN500, which QEMU has; it reports through the debugger (semihosting):
 *
 *   arm-none-eabi-g++ ... meander_policy.cpp; arm-none-eabi-gcc ... cortex_m7.c -T cortex_m7.ld   (see cortex_m7.sh)
 *   qemu-system-arm -M mps2-an500 -icount shift=0 -nographic -semihosting -kernel cortex_m7.elf */
#include "meander_policy.h"
#include POLICY_ARRAY /* the header that `meander export --c-array` wrote; POLICY: the name of the array in it */

#ifndef WORKSPACE_BYTES
#define WORKSPACE_BYTES 32768
#endif
static _Alignas(64) unsigned char workspace[WORKSPACE_BYTES];
static float observation[512], action[512];
static meander_policy policy;

/* ---- the board ---- */
static int semihosting(int operation, const void *argument) {
  register int r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}
static void print(const char *text) { semihosting(4, text); }
static void print_number(uint32_t n) {
  char digits[11];
  int i = 10;
  digits[10] = 0;
  do digits[--i] = (char)('0' + n % 10), n /= 10;
  while (n);
  print(digits + i);
}
static void leave(uint32_t status) {
  const uint32_t arguments[2] = {0x20026, status};
  semihosting(0x20, arguments);
  for (;;) {}
}

/* Under `-icount shift=0` an instruction takes 1 ns, and SysTick counts 25 MHz down from 2^24. */
static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010;
static uint32_t ticks(void) { return systick[2]; }
static uint32_t instructions_since(uint32_t start) { return ((start - ticks()) & 0xffffff) * 40; }

extern uint32_t stack_top[], data_begin[], data_end[], data_stored[], bss_begin[], bss_end[];
int main(void);
void reset(void) {
  uint32_t *to = data_begin;
  for (const uint32_t *from = data_stored; to < data_end;) *to++ = *from++;
  for (to = bss_begin; to < bss_end;) *to++ = 0;
  *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* the floating-point unit */
  __asm__ volatile("dsb\n isb");
  main();
}
static void fault(void) {
  print("fault\n");
  leave(99);
}
__attribute__((section(".vectors"), used)) static void *const vectors[16] = {stack_top, reset, fault, fault,
                                                                            fault,     fault, fault};
/* What compilers may call for copies and zeros. */
void *memcpy(void *to, const void *from, size_t n) {
  unsigned char *a = to;
  for (const unsigned char *b = from; n; --n) *a++ = *b++;
  return to;
}
void *memset(void *to, int value, size_t n) {
  for (volatile unsigned char *a = to; n; --n) *a++ = (unsigned char)value;
  return to;
}

/* ---- the program ---- */
int main(void) {
  float difference;
  meander_status status = meander_policy_open(&policy, POLICY, sizeof POLICY, 1);
  if (status == MEANDER_OK && policy.observations > 512) status = MEANDER_SMALL_WORKSPACE;
  if (status == MEANDER_OK) status = meander_policy_test(&policy, workspace, sizeof workspace, &difference);
  print("self-test of ");
  print_number(policy.tests);
  print(" examples (");
  print(meander_isa(&policy));
  print("): ");
  print(meander_status_text(status));
  print("\n");
  if (status != MEANDER_OK) leave(status);

  systick[1] = 0xffffff, systick[2] = 0, systick[0] = 5;
  for (uint32_t candidates = 1;; candidates = policy.candidates) {
    const meander_noise noise = {0, 0, MEANDER_EVALUATE};
    const uint32_t start = ticks();
    status = meander_act(&policy, workspace, sizeof workspace, observation, noise, candidates, action, 0);
    const uint32_t thousands = (instructions_since(start) + 500) / 1000;
    print("a decision among ");
    print_number(candidates);
    print(": ");
    print(status == MEANDER_OK ? "" : meander_status_text(status));
    print_number(thousands);
    print(" thousand instructions, workspace ");
    print_number((uint32_t)meander_workspace_size(&policy, candidates));
    print(" bytes\n");
    if (candidates == policy.candidates) break;
  }
  leave(status);
  return 0;
}
