/* The commands over what was kept: the ladder again, and the voice out of a capture. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "agency/calls.h"
#include "agency/lea.h"
#include "agency/voice.h"
#include "agency/words.h"
#include "base/mem.h"

static enum err add(void *arg, const struct lea_message *m)
{
    return ladder_add(arg, m);
}

/* Nothing of it, all of it, or all but a message that is being written. */
static bool is_usable(enum err e)
{
    return e == E_OK || e == E_NOTFOUND || e == E_RANGE;
}

int lea_show(const char *folder, unsigned only, bool json)
{
    struct ladder *l = NULL;
    enum err cdc = E_OK, x2 = E_OK;
    int rc = EX_OK;

    if (ladder_new(json, &l) != E_OK) {
        return EX_OSERR;
    }
    cdc = lea_kept_each(folder, LEA_CDC, add, l);
    x2 = lea_kept_each(folder, LEA_X2, add, l);
    ladder_print(l, only); /* of a damaged file what is before the damage */
    if (cdc == E_NOTFOUND && x2 == E_NOTFOUND) {
        fprintf(stderr, "headgate-lea: %s: nothing was kept there\n", folder);
        rc = EX_NOINPUT;
    } else if (!is_usable(cdc) || !is_usable(x2)) {
        rc = EX_DATAERR;
    }
    ladder_free(l);
    return rc;
}

/* ---- voice -------------------------------------------------------------------------------------
 */
struct telling {
    struct calls *calls;
    struct voice *voice;
};

static enum err tell(void *arg, const struct lea_message *m)
{
    struct telling *t = arg;
    enum err e = voice_tell(t->voice, calls_of_call_data(t->calls, &m->cdc, NULL), &m->cdc);

    if (e == E_FULL) {
        fputs("headgate-lea: too many calls for one run: the first are taken\n", stderr);
        return E_OK;
    }
    return e;
}

static enum err hear_all(struct voice *v, const char *path)
{
    FILE *f = fopen(path, "rbe");
    struct capture *c = NULL;
    struct capture_datagram d;
    enum err e = E_OK;

    if (f == NULL) {
        fprintf(stderr, "headgate-lea: %s: %s\n", path, strerror(errno));
        return FAIL(E_NOTFOUND);
    }
    e = capture_open(f, &c);
    while (e == E_OK && (e = capture_next(c, &d)) == E_OK) {
        e = voice_hear(v, &d);
    }
    if (c != NULL && e == E_NOTFOUND) {
        struct capture_counts n = capture_counts(c);
        e = E_OK;
        if (n.fragments + n.cut > 0) {
            fprintf(stderr,
                    "headgate-lea: %s: %llu fragments and %llu packets cut short left out\n", path,
                    (unsigned long long)n.fragments, (unsigned long long)n.cut);
        }
    } else if (e != E_OK) {
        fprintf(stderr, "headgate-lea: %s: %s\n", path,
                c == NULL ? "no pcap or pcapng file" : err_text(e));
    }
    capture_close(c);
    fclose(f);
    return e;
}

struct saying {
    bool json;
    unsigned heard;
};

static void say_json(const struct voice_report *r, const char *side)
{
    json_t *o =
        json_pack("{s:i,s:s,s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:s,s:i}", "call", (int)r->call,
                  "case", r->case_id, "id", r->sequence, "side", side, "keys", (int)r->keys,
                  "packets", (json_int_t)r->packets, "not_opened", (json_int_t)r->not_opened,
                  "again", (json_int_t)r->again, "no_pcmu", (json_int_t)r->no_pcmu, "cut",
                  (json_int_t)r->cut, "samples", (json_int_t)r->samples, "digits", r->digits,
                  "file", r->file, "files", (int)r->files);
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

    if (text != NULL) {
        puts(text);
    }
    mem_free(text);
    json_decref(o);
}

static void say_count(uint64_t n, const char *what)
{
    if (n > 0) {
        printf(", %llu %s", (unsigned long long)n, what);
    }
}

static void say(void *arg, const struct voice_report *r)
{
    struct saying *s = arg;
    const char *side = r->side == VOICE_SUBJECT ? "subject" : "other";
    char case_id[sizeof r->case_id];

    s->heard += r->files > 0;
    if (s->json) {
        say_json(r, side);
        return;
    }
    words_clean(view_of(r->case_id), case_id, sizeof case_id);
    printf("call %u, %s, the %s: ", r->call, case_id, side);
    if (r->files == 0) {
        printf("no voice%s", r->keys == 0 ? ", and no key" : " in the capture");
    } else {
        printf("%.1f s in %s", (double)r->samples / 8000, r->file);
        say_count(r->files - 1, "further files");
        printf(" (%llu packets)", (unsigned long long)r->packets);
    }
    say_count(r->not_opened, "packets that no key opens");
    say_count(r->again, "packets twice");
    say_count(r->no_pcmu, "packets of another codec");
    say_count(r->cut, "packets beyond what is kept");
    printf("%s%s\n", r->digits[0] != 0 ? ", keyed in: " : "", r->digits);
}

static int voice_of(struct telling *t, const char *folder, const char *capture, const char *out,
                    bool json)
{
    struct saying s = {.json = json};
    enum err e = lea_kept_each(folder, LEA_CDC, tell, t);
    bool is_damaged = e == E_PARSE; /* what is before the damage counts */

    if (e != E_OK && e != E_RANGE && !is_damaged) {
        fprintf(stderr, "headgate-lea: %s: no call data: %s\n", folder, err_text(e));
        return e == E_NOTFOUND ? EX_NOINPUT : EX_IOERR;
    }
    e = hear_all(t->voice, capture);
    if (e != E_OK && e != E_PARSE) {
        return e == E_NOTFOUND ? EX_NOINPUT : EX_IOERR;
    }
    if (mkdir(out, 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "headgate-lea: %s: %s\n", out, strerror(errno));
        return EX_CANTCREAT;
    }
    if (voice_write(t->voice, out, say, &s) != E_OK) {
        fprintf(stderr, "headgate-lea: %s: not all could be written\n", out);
        return EX_IOERR;
    }
    if (is_damaged || e == E_PARSE) {
        return EX_DATAERR;
    }
    return s.heard > 0 ? EX_OK : 1;
}

int lea_voice(const char *folder, const char *capture, const char *out, bool json)
{
    struct telling t = {NULL, NULL};
    int rc = EX_OSERR;

    if (calls_new(&t.calls) == E_OK && voice_new(&t.voice) == E_OK) {
        rc = voice_of(&t, folder, capture, out, json);
    }
    voice_free(t.voice);
    calls_free(t.calls);
    return rc;
}
