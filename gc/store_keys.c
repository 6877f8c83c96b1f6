/* Sets of changed keys: gathered, made unique, sent as array texts. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "gc/store_int.h"

bool keys_add_id(struct id_set *set, uint64_t id)
{
    if (set->n == set->max) {
        size_t room = set->max == 0 ? 64 : set->max * 2;
        uint64_t *v = room <= 4 * (size_t)KEYS_MAX ? mem_resize(set->v, room * sizeof *v) : NULL;
        if (v == NULL) {
            return false;
        }
        set->v = v;
        set->max = room;
    }
    set->v[set->n++] = id;
    return set->n <= KEYS_MAX;
}

static bool bti_add(struct bti_set *set, const uint8_t id[16])
{
    if (set->n == set->max) {
        size_t room = set->max == 0 ? 64 : set->max * 2;
        uint8_t(*v)[16] =
            room <= 4 * (size_t)KEYS_MAX ? mem_resize(set->v, room * sizeof *v) : NULL;
        if (v == NULL) {
            return false;
        }
        set->v = v;
        set->max = room;
    }
    memcpy(set->v[set->n++], id, 16);
    return set->n <= KEYS_MAX;
}

static int id_order(const void *va, const void *vb)
{
    const uint64_t *a = va, *b = vb;

    return (*a > *b) - (*a < *b);
}

static int bti_order(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

void keys_unique(struct keys *k)
{
    struct id_set *sets[2] = {&k->lines, &k->accounts};
    size_t n = 0;

    for (size_t s = 0; s < 2; s++) {
        n = 0;
        if (sets[s]->n > 0) {
            qsort(sets[s]->v, sets[s]->n, sizeof *sets[s]->v, id_order);
        }
        for (size_t i = 0; i < sets[s]->n; i++) {
            if (i == 0 || sets[s]->v[i] != sets[s]->v[i - 1]) {
                sets[s]->v[n++] = sets[s]->v[i];
            }
        }
        sets[s]->n = n;
    }
    n = 0;
    if (k->btis.n > 0) {
        qsort(k->btis.v, k->btis.n, sizeof *k->btis.v, bti_order);
    }
    for (size_t i = 0; i < k->btis.n; i++) {
        if (i == 0 || memcmp(k->btis.v[i], k->btis.v[i - 1], 16) != 0) {
            memmove(k->btis.v[n++], k->btis.v[i], 16);
        }
    }
    k->btis.n = n;
}

bool keys_empty(const struct keys *k)
{
    return k->lines.n == 0 && k->accounts.n == 0 && k->btis.n == 0 && !k->plan;
}

void keys_clear(struct keys *k)
{
    k->lines.n = 0;
    k->accounts.n = 0;
    k->btis.n = 0;
    k->heard.n = 0;
    k->plan = false;
    k->horizon = 0;
}

void keys_fini(struct keys *k)
{
    mem_free(k->lines.v);
    mem_free(k->accounts.v);
    mem_free(k->btis.v);
    mem_free(k->heard.v);
    *k = (struct keys){.plan = false};
}

bool keys_add(struct keys *k, struct view table, struct view key)
{
    uint8_t bti[16];
    uint64_t id = 0;

    if (view_eq(table, VIEW("route")) || view_eq(table, VIEW("trunk")) ||
        view_eq(table, VIEW("dial_rule")) || view_eq(table, VIEW("emergency_mode"))) {
        k->plan = true;
        return true;
    }
    if (view_eq(table, VIEW("bti"))) {
        return hex_get(key, bti, sizeof bti) != E_OK || bti_add(&k->btis, bti);
    }
    if (view_to_u64(key, INT64_MAX, &id) != E_OK) {
        return true;
    }
    if (view_eq(table, VIEW("account"))) {
        return keys_add_id(&k->accounts, id);
    }
    return (!view_eq(table, VIEW("line")) && !view_eq(table, VIEW("number")) &&
            !view_eq(table, VIEW("credential")) && !view_eq(table, VIEW("line_service"))) ||
           keys_add_id(&k->lines, id);
}

/* '{1,2,3}'; NULL: no memory. */
char *keys_ids_text(const struct id_set *set)
{
    char *text = mem_zalloc(set->n * 21 + 3);
    size_t n = 0;

    if (text != NULL) {
        text[n++] = '{';
        for (size_t i = 0; i < set->n; i++) {
            n += (size_t)snprintf(text + n, 22, "%s%" PRIu64, i > 0 ? "," : "", set->v[i]);
        }
        text[n] = '}';
    }
    return text;
}

char *keys_btis_text(const struct bti_set *set)
{
    char *text = mem_zalloc(set->n * 33 + 4);
    size_t n = 0;

    if (text != NULL) {
        text[n++] = '{';
        for (size_t i = 0; i < set->n; i++) {
            if (i > 0) {
                text[n++] = ',';
            }
            hex_put(set->v[i], 16, text + n);
            n += 32;
        }
        text[n] = '}';
    }
    return text;
}

/* ---- keys that a NOTIFY brought already --------------------------------------------------------
 */
uint64_t recent_hash(const struct recent *r, struct view table, struct view key)
{
    char text[96];
    int n = snprintf(text, sizeof text, "%.*s:%.*s", (int)(table.n > 16 ? 16 : table.n), table.p,
                     (int)(key.n > 64 ? 64 : key.n), key.p);

    return siphash64(r->hash_key, view_from(text, (size_t)n));
}

void recent_add(struct recent *r, uint64_t hash)
{
    if (r->n == RECENT_MAX) {
        r->n = 0;
    }
    r->v[r->n++] = hash;
}

bool recent_take(struct recent *r, uint64_t hash)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->v[i] == hash) {
            r->v[i] = r->v[--r->n];
            return true;
        }
    }
    return false;
}
