/* Commands from Redis, where anybody may write: whatever comes is refused, unless it was sealed
 * under the key, and then it is what was sealed. The first octet picks: 0 any octets; else a sealed
 * command of the rest, in which the octet that it names is altered. */
#include <string.h>

#include "base/mem.h"
#include "gc/command.h"

#define MOST 8192

static void any_octets(const struct secret *key, struct view v)
{
    struct command_head head;
    uint8_t plain[MOST];
    size_t n = 0;
    enum err e = command_open(key, VIEW("ask"), VIEW("gc1"), v, &head, plain, sizeof plain, &n);

    BUG_ON(e != E_PARSE && e != E_AUTH && e != E_RANGE);
}

static void altered(const struct secret *key, uint8_t how, struct view v)
{
    struct command_head head = {.at_us = 5, .id = {how}}, got;
    uint8_t plain[MOST], sealed[MOST + COMMAND_SEAL_EXTRA];
    size_t n = 0, plain_n = 0, at = 0;
    enum err e = command_seal(key, VIEW("ask"), VIEW("gc1"), &head, v, sealed, sizeof sealed, &n);

    BUG_ON(e != E_OK);
    e = command_open(key, VIEW("ask"), VIEW("gc1"), view_from(sealed, n), &got, plain, sizeof plain,
                     &plain_n);
    BUG_ON(e != E_OK || plain_n != v.n || (v.n > 0 && memcmp(plain, v.p, v.n) != 0));
    BUG_ON(memcmp(got.id, head.id, sizeof got.id) != 0 || got.at_us != head.at_us);
    at = how * 131u % n;
    sealed[at] ^= how;
    e = command_open(key, VIEW("ask"), VIEW("gc1"), view_from(sealed, n), &got, plain, sizeof plain,
                     &plain_n);
    BUG_ON(e != E_AUTH && e != E_PARSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct secret key = {.n = COMMAND_KEY_BYTES, .b = {1, 2, 3}};
    struct view rest = view_from(data + 1, size > 0 ? size - 1 : 0);

    if (size == 0 || size > MOST) {
        return 0;
    }
    if (data[0] == 0) {
        any_octets(&key, rest);
    } else {
        altered(&key, data[0], rest);
    }
    return 0;
}
