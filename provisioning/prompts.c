#include "provisioning/prompts.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "media/g711.h"

#define PROMPT_NAME(id, name) name,
static const char *const NAMES[] = {PROMPT_LIST(PROMPT_NAME)};
#undef PROMPT_NAME

static enum err load_one(const char *path, uint8_t **out, size_t *out_n)
{
    FILE *f = fopen(path, "rbe");
    uint8_t *b = NULL;
    size_t n = 0;
    enum err e = E_OK;

    if (f == NULL) {
        return FAIL(E_NOTFOUND);
    }
    b = mem_zalloc(PROMPT_MAX_BYTES);
    if (b == NULL) {
        e = FAIL(E_NOMEM);
    } else {
        n = fread(b, 1, PROMPT_MAX_BYTES, f);
        e = ferror(f) != 0 ? FAIL(E_IO) : n == 0 || n == PROMPT_MAX_BYTES ? FAIL(E_RANGE) : E_OK;
    }
    fclose(f);
    if (e != E_OK) {
        mem_free(b);
        return e;
    }
    *out = b;
    *out_n = n;
    return E_OK;
}

enum err prompts_load(const char *folder, struct prompts *out)
{
    struct prompts p = {.n = {0}};
    enum err e = E_OK;

    for (unsigned i = 0; i < PROMPT_COUNT; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%.900s/%s.ulaw", folder, NAMES[i]);
        e = load_one(path, &p.ulaw[i], &p.n[i]);
        if (e != E_OK) {
            LOG(LV_ERROR, "prov.prompt_file", KV("file", (const char *)path), KV_ERR(e));
            prompts_free(&p);
            return e;
        }
    }
    *out = p;
    return E_OK;
}

void prompts_free(struct prompts *p)
{
    for (unsigned i = 0; i < PROMPT_COUNT; i++) {
        mem_free(p->ulaw[i]);
    }
    *p = (struct prompts){.n = {0}};
}

void player_add(struct player *p, enum prompt which)
{
    if (p->n < PLAYER_QUEUE) {
        p->queue[p->n++] = which;
    }
}

void player_clear(struct player *p)
{
    *p = (struct player){.n = 0};
}

bool player_fill(struct player *p, const struct prompts *from, int16_t pcm[RTP_FRAME])
{
    size_t left = 0;

    if (p->n == 0) {
        return false;
    }
    left = from->n[p->queue[0]] - p->at;
    left = left < RTP_FRAME ? left : RTP_FRAME;
    ulaw_decode(from->ulaw[p->queue[0]] + p->at, left, pcm);
    memset(pcm + left, 0, (RTP_FRAME - left) * sizeof pcm[0]);
    p->at += left;
    if (p->at == from->n[p->queue[0]]) {
        p->n--;
        memmove(p->queue, p->queue + 1, p->n * sizeof p->queue[0]);
        p->at = 0;
    }
    return true;
}
