/* What headgate-lea reads from a carrier and headgate-li from the tap and from its disk. The first
 * octet picks: 0 call data (PCESP), 1 X2, 2 a SIP message, 3 a session description, 4 a spool of
 * which one segment has these octets, 5 the same behind a head that is right, 6 a spool whose place
 * ("done") says this. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "lawful_intercept/cdc.h"
#include "lawful_intercept/message.h"
#include "lawful_intercept/spool.h"
#include "lawful_intercept/x2.h"

#define MOST 8192

static bool is_within(struct view part, struct view whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

/* ---- call data, X2 -----------------------------------------------------------------------------
 */
/* What was read and can be written is read again as the same. */
static void call_data(struct view v)
{
    static uint8_t first[CDC_MAX], second[CDC_MAX];
    struct cdc_message m, again;
    char why[128] = "";
    size_t n = 0, first_n = 0, second_n = 0;
    enum err e = cdc_read(v, &m, &n, why, sizeof why);

    BUG_ON(e != E_OK && e != E_PARSE && e != E_RANGE);
    BUG_ON(e == E_PARSE && why[0] == 0);
    if (e != E_OK) {
        return;
    }
    BUG_ON(n == 0 || n > v.n || !cdc_has(m.version, m.kind));
    BUG_ON(!is_within(m.case_id, v) || !is_within(m.subject, v) || !is_within(m.associate, v));
    BUG_ON(m.n_open > CDC_CALLS_MAX || m.joined.n > CDC_SETS_MAX || m.removed.n > CDC_SETS_MAX);
    if (cdc_write(&m, first, sizeof first, &first_n, why, sizeof why) != E_OK) {
        return; /* longer than we may write */
    }
    BUG_ON(cdc_read(view_from(first, first_n), &again, &n, why, sizeof why) != E_OK);
    BUG_ON(n != first_n);
    BUG_ON(cdc_write(&again, second, sizeof second, &second_n, why, sizeof why) != E_OK);
    BUG_ON(second_n != first_n || memcmp(first, second, first_n) != 0);
}

static void x2(struct view v)
{
    static uint8_t out[X2_HEAD + X2_ATTRIBUTES_MAX + MOST];
    struct x2_pdu p, again;
    char why[128] = "";
    size_t n = 0, out_n = 0;
    enum err e = x2_read(v, &p, &n, why, sizeof why);

    BUG_ON(e != E_OK && (e != E_PARSE || why[0] == 0) && e != E_RANGE);
    if (e != E_OK) {
        return;
    }
    BUG_ON(n < X2_HEAD || n > v.n || !is_within(p.payload, v) || !is_within(p.target, v));
    if (x2_write(&p, out, sizeof out, &out_n) == E_OK) {
        BUG_ON(x2_read(view_from(out, out_n), &again, &n, why, sizeof why) != E_OK);
        BUG_ON(n != out_n || again.correlation != p.correlation || again.sequence != p.sequence);
        BUG_ON(!view_eq(again.payload, p.payload) || !view_eq(again.target, p.target));
    }
}

/* ---- SIP ---------------------------------------------------------------------------------------
 */
static bool has_line(struct view v, const char *begin)
{
    for (size_t end = 0; v.n > 0; v = view_sub(v, end + 1, v.n)) {
        if (view_starts_nocase(v, view_of(begin))) {
            return true;
        }
        if (!view_find(v, '\n', &end)) {
            return false;
        }
    }
    return false;
}

static void description(struct view v)
{
    char *out = malloc(v.n + 1);
    size_t n = 0;

    BUG_ON(out == NULL);
    n = li_sdp_without_keys(v, out);
    BUG_ON(n > v.n);
    BUG_ON(has_line(view_from(out, n), "a=crypto:") || has_line(view_from(out, n), "k="));
    free(out);
}

static void sip(struct view v)
{
    struct li_message m, again;
    size_t room = 0, n = 0;
    char *out = NULL;
    enum err e = li_message_read(v, &m);

    BUG_ON(e != E_OK && e != E_PARSE);
    if (e != E_OK) {
        return;
    }
    BUG_ON(m.head.n + m.body.n != v.n || !is_within(li_message_sdp(&m), m.body));
    BUG_ON(!is_within(li_user_of(m.from), v) || !is_within(li_user_of(m.uri), v));
    BUG_ON(!is_within(m.from_tag, v) || !is_within(m.branch, v) || !is_within(m.method, v));
    description(li_message_sdp(&m));
    room = m.head.n + m.body.n + LI_BARE_MORE;
    out = malloc(room);
    BUG_ON(out == NULL);
    BUG_ON(li_message_without_content(&m, out, room, &n) != E_OK || n > room);
    BUG_ON(li_message_read(view_from(out, n), &again) != E_OK);
    BUG_ON(again.is_request != m.is_request || !view_eq(again.method, m.method));
    BUG_ON(!view_eq(again.call_id, m.call_id));
    BUG_ON(has_line(again.body, "a=crypto:") || has_line(again.head, "Geolocation:"));
    free(out);
}

/* ---- spool -------------------------------------------------------------------------------------
 */
static const char *folder(void)
{
    static char path[64];

    if (path[0] == 0) { /* one name for the life of the process */
        snprintf(path, sizeof path, "/dev/shm/fuzz_call_data.%ld", (long)getpid());
    }
    BUG_ON(mkdir(path, 0700) != 0);
    return path;
}

static void put_file(const char *in, const char *name, struct view head, struct view v)
{
    char path[128];
    int fd = -1;

    snprintf(path, sizeof path, "%s/%s", in, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    BUG_ON(fd < 0);
    BUG_ON(head.n > 0 && write(fd, head.p, head.n) != (ssize_t)head.n);
    BUG_ON(v.n > 0 && write(fd, v.p, v.n) != (ssize_t)v.n);
    close(fd);
}

/* Whatever the files say: it opens or it does not, nothing unsealed comes out, and what is put in
 * after that comes out. */
static void open_and_use(const char *in)
{
    struct secret key = {.n = 32, .b = {1, 2, 3}};
    struct spool_cfg cfg = {.folder = in, .name = "case", .key = &key};
    struct spool_facts facts;
    struct spool *s = NULL;
    static uint8_t octets[SPOOL_RECORD_MAX];
    uint64_t put = 0, number = 0, at_us = 0;
    size_t n = 0, tries = 0;
    enum err e = spool_open(&cfg, &s);

    BUG_ON(e != E_OK && e != E_PARSE && e != E_AUTH && e != E_IO);
    if (e != E_OK) {
        return;
    }
    spool_facts_of(s, &facts);
    BUG_ON(facts.next <= facts.done);
    BUG_ON(spool_put(s, 5, VIEW("after"), &put) != E_OK || put != facts.next);
    do {
        e = spool_next(s, octets, sizeof octets, &n, &number, &at_us);
        BUG_ON(++tries > MOST || e == E_NOTFOUND);
    } while (e != E_OK);
    BUG_ON(number != put || n != 5 || memcmp(octets, "after", 5) != 0 || at_us != 5);
    BUG_ON(spool_done(s, number) != E_OK);
    spool_close(s);
}

static void remove_all(const char *in)
{
    static const char *const names[] = {"0000000000000001.seg", "0000000000000002.seg", "done"};
    char path[160];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", in, names[i]);
        unlink(path);
    }
    if (rmdir(in) != 0) { /* a segment under another number */
        snprintf(path, sizeof path, "rm -r %s", in);
        BUG_ON(system(path) != 0);
    }
}

static void spool_with(const char *name, struct view head, struct view v)
{
    size_t live = mem_live();
    const char *in = folder();

    put_file(in, name, head, v);
    open_and_use(in);
    remove_all(in);
    BUG_ON(mem_live() != live);
}

static void any_segment(struct view v)
{
    spool_with("0000000000000001.seg", VIEW(""), v);
}

static void segment_with_head(struct view v)
{
    static const char head[32] = "HGSPOOL1"
                                 "0123456789abcdef"
                                 "\0\0\0\0\0\0\0\1";

    spool_with("0000000000000001.seg", view_from(head, sizeof head), v);
}

static void place(struct view v)
{
    spool_with("done", VIEW(""), v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct view) = {
        call_data, x2, sip, description, any_segment, segment_with_head, place,
    };

    if (size > 0 && size <= MOST) {
        targets[data[0] % (sizeof targets / sizeof *targets)](view_from(data + 1, size - 1));
    }
    return 0;
}
