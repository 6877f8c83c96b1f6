/* Tokens that were used. */
#include "gc/stir_replay.h"

#include <pthread.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"

enum { PLACES = 8 };

struct used {
    uint64_t token, call, until_s; /* until_s 0: free */
};

struct stir_replay {
    pthread_mutex_t lock;
    uint8_t key[16];
    unsigned window_s;
    size_t n_rows;
    struct used row[][PLACES];
};

enum err stir_replay_new(size_t entries, unsigned window_s, struct stir_replay **out)
{
    size_t rows = entries / PLACES + (entries % PLACES != 0 || entries == 0);
    struct stir_replay *r = mem_zalloc(sizeof *r + rows * sizeof r->row[0]);
    enum err e = r != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    r->n_rows = rows;
    r->window_s = window_s;
    TRY(crypto_random(r->key, sizeof r->key));
    BUG_ON(pthread_mutex_init(&r->lock, NULL) != 0);
    *out = r;
    r = NULL; /* moved */
out:
    mem_free(r);
    return e;
}

void stir_replay_free(struct stir_replay *r)
{
    if (r != NULL) {
        pthread_mutex_destroy(&r->lock);
        mem_free(r);
    }
}

bool stir_replay_seen(struct stir_replay *r, struct view signing_input, const uint8_t half[32],
                      uint64_t call, uint64_t now_s)
{
    uint64_t token = siphash64(r->key, signing_input) ^ siphash64(r->key, view_from(half, 32));
    struct used *row = r->row[token % r->n_rows], *place = &row[0];
    bool is_known = false, is_seen = false;

    BUG_ON(pthread_mutex_lock(&r->lock) != 0);
    for (unsigned i = 0; i < PLACES && !is_known; i++) {
        bool is_live = row[i].until_s > now_s;
        if (is_live && row[i].token == token) {
            is_known = true;
            is_seen = row[i].call != call;
        } else if (!is_live || row[i].until_s < place->until_s) {
            place = &row[i];
            place->until_s = is_live ? place->until_s : 0;
        }
    }
    if (!is_known) {
        *place = (struct used){token, call, now_s + r->window_s};
    }
    BUG_ON(pthread_mutex_unlock(&r->lock) != 0);
    return is_seen;
}
