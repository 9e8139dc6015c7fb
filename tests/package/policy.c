/* A consumer of the component policy, in C. */
#include <meander_policy.h>
#include <stdio.h>

int main(void) {
  static const unsigned char nothing[128] __attribute__((aligned(64))) = {0};
  meander_policy policy;
  const meander_status status = meander_policy_open(&policy, nothing, sizeof nothing, 1);
  printf("%s\n", meander_status_text(status));
  return status == MEANDER_NOT_A_POLICY ? 0 : 1;
}
