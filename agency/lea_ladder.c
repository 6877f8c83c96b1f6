/* The ladder in words. Live: as it comes, with the number of its call. Later: call by call, in the
 * order of times. A carrier delivers at least once: what has come already is known by its octets.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agency/calls.h"
#include "agency/lea.h"
#include "agency/words.h"
#include "base/crypto.h"
#include "base/mem.h"

enum { WIDTH = 110 };
enum { RECENT = 4096 }; /* live: more than a carrier sends again after a break */

struct line {
    unsigned call;
    uint64_t at_us;
    size_t number;
    uint8_t hash[SHA256_BYTES];
    char *octets; /* the message, for JSON; or NULL */
    size_t n;
    enum lea_channel channel;
    char words[];
};

struct ladder {
    bool json;
    struct calls *calls;
    uint8_t (*recent)[SHA256_BYTES]; /* a ring */
    size_t at;
    unsigned last_call;
    size_t again;
    struct line **line;
    size_t n, room;
};

enum err ladder_new(bool json, struct ladder **out)
{
    struct ladder *l = mem_zalloc(sizeof *l);
    enum err e = E_OK;

    if (l == NULL) {
        return FAIL(E_NOMEM);
    }
    l->json = json;
    l->recent = mem_zalloc(RECENT * sizeof *l->recent);
    if (l->recent == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(calls_new(&l->calls));
    *out = l;
out:
    if (e != E_OK) {
        ladder_free(l);
    }
    return e;
}

void ladder_free(struct ladder *l)
{
    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < l->n; i++) {
        mem_free(l->line[i]->octets);
        mem_free(l->line[i]);
    }
    mem_free(l->line);
    calls_free(l->calls);
    mem_free(l->recent);
    mem_free(l);
}

/* ---- a line ------------------------------------------------------------------------------------
 */
static unsigned call_of(struct ladder *l, const struct lea_message *m)
{
    return m->channel == LEA_CDC ? calls_of_call_data(l->calls, &m->cdc, NULL)
                                 : calls_of_signaling(l->calls, &m->x2, NULL);
}

static void words_of(const struct lea_message *m, char out[WORDS_MAX])
{
    if (m->channel == LEA_CDC) {
        words_of_call_data(&m->cdc, out);
    } else {
        words_of_signaling(&m->x2, out);
    }
}

/* "18:08:01.123  CASE-1  words"; of signaling instead of the case the task that it is of. */
static void line_of(const struct lea_message *m, char *out, size_t n)
{
    char at[WORDS_TIME], who[32], words[WORDS_MAX];

    words_of_time(lea_at_us(m), at);
    if (m->channel == LEA_CDC) {
        words_clean(m->cdc.case_id, who, sizeof who);
    } else {
        memcpy(who, "sip ", 4);
        hex_put(m->x2.xid, 4, who + 4);
    }
    words_of(m, words);
    snprintf(out, n, "%.12s  %-12s  %s", strlen(at) > 11 ? at + 11 : at, who, words);
}

static void print_head(const struct ladder *l, unsigned call, uint64_t at_us)
{
    const struct calls_entry *entry = calls_at(l->calls, call);
    char at[WORDS_TIME], id[32];

    words_of_time(at_us, at);
    words_clean(view_of(entry != NULL ? entry->sequence : ""), id, sizeof id);
    if (call == 0) {
        printf("\n== outside of calls, %.10s\n", at);
    } else {
        printf("\n== call %u, %.10s%s%s\n", call, at, id[0] != 0 ? ", id " : "", id);
    }
}

/* A long line goes on below, from a semicolon on. */
static void print_wrapped(const char *text)
{
    const char *indent = "   ";

    for (;;) {
        const char *cut = NULL;
        for (const char *p = strstr(text, "; "); p != NULL && strlen(text) > WIDTH;
             p = strstr(p + 2, "; ")) {
            cut = cut == NULL || p - text < WIDTH ? p : cut;
        }
        if (cut == NULL) {
            printf("%s%s\n", indent, text);
            return;
        }
        printf("%s%.*s;\n", indent, (int)(cut - text), text);
        text = cut + 2;
        indent = "                                 ";
    }
}

/* ---- live --------------------------------------------------------------------------------------
 */
static bool came_before(struct ladder *l, const uint8_t hash[SHA256_BYTES])
{
    for (size_t i = 0; i < RECENT; i++) {
        if (memcmp(l->recent[i], hash, SHA256_BYTES) == 0) {
            return true;
        }
    }
    memcpy(l->recent[l->at], hash, SHA256_BYTES);
    l->at = (l->at + 1) % RECENT;
    return false;
}

void ladder_live(struct ladder *l, const struct lea_message *m)
{
    char text[WORDS_MAX + 64];
    uint8_t hash[SHA256_BYTES];
    unsigned call = 0;

    if (l->json) {
        lea_print_json(m);
        return;
    }
    if (sha256(m->octets, hash) == E_OK && came_before(l, hash)) {
        l->again++;
        return;
    }
    if (l->again > 0) {
        printf("   (%zu messages came again)\n", l->again);
        l->again = 0;
    }
    call = call_of(l, m);
    if (call != l->last_call) {
        print_head(l, call, lea_at_us(m));
        l->last_call = call;
    }
    line_of(m, text, sizeof text);
    print_wrapped(text);
}

/* ---- later -------------------------------------------------------------------------------------
 */
static enum err make_room(struct ladder *l)
{
    size_t room = l->room != 0 ? 2 * l->room : 256;
    struct line **all = NULL; /* a table of pointers: lines differ in length */

    if (l->n < l->room) {
        return E_OK;
    }
    all = mem_resize(l->line, room * sizeof(struct line *));
    if (all == NULL) {
        return FAIL(E_NOMEM);
    }
    l->line = all;
    l->room = room;
    return E_OK;
}

enum err ladder_add(struct ladder *l, const struct lea_message *m)
{
    char text[WORDS_MAX + 64];
    struct line *line = NULL;
    enum err e = E_OK;

    line_of(m, text, sizeof text);
    TRY(make_room(l));
    line = mem_zalloc(sizeof *line + strlen(text) + 1);
    if (line == NULL || (l->json && (line->octets = mem_zalloc(m->octets.n)) == NULL)) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(sha256(m->octets, line->hash));
    if (l->json) {
        memcpy(line->octets, m->octets.p, m->octets.n);
    }
    line->n = m->octets.n;
    line->channel = m->channel;
    line->call = call_of(l, m);
    line->at_us = lea_at_us(m);
    line->number = l->n;
    memcpy(line->words, text, strlen(text) + 1);
    l->line[l->n++] = line;
    line = NULL;
out:
    mem_free(line);
    return e;
}

static int by_call_and_time(const void *a, const void *b)
{
    const struct line *x = *(const struct line *const *)a, *y = *(const struct line *const *)b;

    if (x->call != y->call) {
        return x->call < y->call ? -1 : 1;
    }
    if (x->at_us != y->at_us) {
        return x->at_us < y->at_us ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

/* The same octets have the same time: they lie beside each other. */
static bool is_again(const struct ladder *l, size_t i)
{
    for (size_t k = i; k > 0; k--) {
        const struct line *before = l->line[k - 1];
        if (before->at_us != l->line[i]->at_us || before->call != l->line[i]->call) {
            return false;
        }
        if (memcmp(before->hash, l->line[i]->hash, SHA256_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static void print_line(const struct ladder *l, const struct line *line)
{
    struct lea_message m;
    char why[LEA_WHY];

    if (!l->json) {
        print_wrapped(line->words);
    } else if (lea_read(line->channel, view_from(line->octets, line->n), &m, why) == E_OK) {
        lea_print_json(&m);
    }
}

void ladder_print(struct ladder *l, unsigned only)
{
    size_t again = 0;
    bool is_first = true;
    unsigned call = 0;

    if (l->n > 0) {
        qsort(l->line, l->n, sizeof(struct line *), by_call_and_time);
    }
    for (size_t i = 0; i < l->n; i++) {
        const struct line *line = l->line[i];
        if (only != 0 && line->call != only) {
            continue;
        }
        if (is_again(l, i)) {
            again++;
            continue;
        }
        if (!l->json && (is_first || line->call != call)) {
            print_head(l, line->call, line->at_us);
        }
        is_first = false;
        call = line->call;
        print_line(l, line);
    }
    if (again > 0 && !l->json) {
        printf("\n(%zu messages had come more than once)\n", again);
    }
}
