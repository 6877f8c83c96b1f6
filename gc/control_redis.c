/* The control questions of other machines, through Redis: sealed both ways (gc/command.h). */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/redis.h"
#include "gc/command.h"
#include "gc/control_int.h"

enum { QUEUE_MAX = 1000, CHANNEL_MAX = 80, KEY_MAX = 8 + 2 * COMMAND_ID_BYTES + 1 };

#define TOO_LONG "{\"ok\":false,\"error\":\"the answer is too long: ask for less\"}\n"

struct control_redis {
    const struct control_cfg *cfg;
    uint64_t started_us;
    struct secret *key; /* in locked memory */
    struct command_guard *guard;
    struct redis *redis;
    char channel[CHANNEL_MAX];
    const char *channels[2];
};

/* ---- answers -----------------------------------------------------------------------------------
 */
/* Both or neither: an answer that nobody fetches must not stay for good. */
static void send_answer(struct control_redis *c, const struct command_head *asked,
                        struct view sealed)
{
    char key[KEY_MAX], id[2 * COMMAND_ID_BYTES + 1], life[8];
    const struct view multi = VIEW("MULTI"), exec = VIEW("EXEC");
    enum err e = E_OK;

    hex_put(asked->id, sizeof asked->id, id);
    snprintf(key, sizeof key, "hg:ans:%s", id);
    snprintf(life, sizeof life, "%d", COMMAND_LIFE_S);
    const struct view push[] = {VIEW("LPUSH"), view_of(key), sealed};
    const struct view expire[] = {VIEW("EXPIRE"), view_of(key), view_of(life)};
    TRY(redis_cmd(c->redis, &multi, 1, NULL, NULL));
    TRY(redis_cmd(c->redis, push, 3, NULL, NULL));
    TRY(redis_cmd(c->redis, expire, 3, NULL, NULL));
    TRY(redis_cmd(c->redis, &exec, 1, NULL, NULL));
out:
    if (e != E_OK) {
        LOG(LV_WARN, "command.unanswered", KV_ERR(e));
    }
}

static void seal_answer(struct control_redis *c, const struct command_head *asked,
                        struct view plain)
{
    struct command_head head = {.at_us = clock_wall_us(clock_system())};
    uint8_t *sealed = NULL;
    size_t n = 0;
    enum err e = E_OK;

    if (plain.n > ANSWER_MAX - COMMAND_SEAL_EXTRA) {
        plain = VIEW(TOO_LONG);
    }
    memcpy(head.id, asked->id, sizeof head.id);
    sealed = mem_zalloc(plain.n + COMMAND_SEAL_EXTRA);
    if (sealed == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(command_seal(c->key, VIEW("answer"), view_of(c->cfg->node), &head, plain, sealed,
                     plain.n + COMMAND_SEAL_EXTRA, &n));
    send_answer(c, asked, view_from(sealed, n));
out:
    if (e != E_OK) {
        LOG(LV_WARN, "command.unanswered", KV_ERR(e));
    }
    mem_free(sealed);
}

/* ---- questions ---------------------------------------------------------------------------------
 */
static enum err open_command(struct control_redis *c, struct view sealed, struct command_head *head,
                             uint8_t *plain, size_t *n)
{
    enum err e = sealed.n <= COMMAND_MAX ? E_OK : FAIL(E_RANGE);

    TRY(e);
    TRY(command_open(c->key, VIEW("ask"), view_of(c->cfg->node), sealed, head, plain, COMMAND_MAX,
                     n));
    TRY(command_fresh(c->guard, head, clock_wall_us(clock_system())));
out:
    return e;
}

static void on_message(void *arg, struct view channel, struct view payload)
{
    struct control_redis *c = arg;
    struct command_head head;
    uint8_t *plain = mem_zalloc(COMMAND_MAX);
    char *answer = NULL;
    size_t n = 0, answer_n = 0;
    enum err e = plain != NULL ? E_OK : FAIL(E_NOMEM);

    (void)channel;
    TRY(e);
    TRY(open_command(c, payload, &head, plain, &n));
    answer = control_answer(c->cfg, c->started_us, view_from(plain, n), &answer_n);
    if (answer == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    seal_answer(c, &head, view_from(answer, answer_n));
out:
    if (e != E_OK) {
        LOG(LV_WARN, "command.refused", KV_ERR(e), KV("octets", payload.n));
    }
    if (plain != NULL) {
        wipe(plain, n); /* it may have held a password */
    }
    mem_free(plain);
    mem_free(answer);
}

/* ---- life --------------------------------------------------------------------------------------
 */
static const char *or_null(const char *text)
{
    return text != NULL && text[0] != 0 ? text : NULL;
}

static enum err copy_key(struct control_redis *c, const struct secret *key)
{
    c->key = secret_alloc(sizeof *c->key);
    return c->key != NULL ? secret_set(c->key, key->b, key->n) : FAIL(E_NOMEM);
}

enum err control_redis_open(struct loop *l, const struct control_cfg *cfg, uint64_t started_us,
                            struct control_redis **out)
{
    struct control_redis *c = mem_zalloc(sizeof *c);
    struct redis_cfg redis = {.address = cfg->redis,
                              .user = or_null(cfg->redis_user),
                              .password = or_null(cfg->redis_password),
                              .max_queue = QUEUE_MAX,
                              .on_message = on_message};
    enum err e = c != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    c->cfg = cfg;
    c->started_us = started_us;
    snprintf(c->channel, sizeof c->channel, "hg:cmd:%s", cfg->node);
    c->channels[0] = c->channel;
    redis.channels = c->channels;
    redis.arg = c;
    TRY(copy_key(c, cfg->command_key));
    TRY(command_guard_new(started_us, &c->guard));
    TRY(redis_open(l, &redis, &c->redis));
    *out = c;
    c = NULL;
out:
    control_redis_close(c);
    return e;
}

void control_redis_close(struct control_redis *c)
{
    if (c != NULL) {
        redis_close(c->redis);
        command_guard_free(c->guard);
        secret_release(c->key, sizeof *c->key);
        mem_free(c);
    }
}
