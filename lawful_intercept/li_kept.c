/* Calls of orders on disk: see li_kept.h. */
#include "lawful_intercept/li_kept.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "lawful_intercept/calls_int.h"

enum { HEAD = 1 + GCM_NONCE_BYTES, FILE_MAX = 64 << 20, LEGS_MAX = 65536, PATH_BYTES = 600 };

/* ---- to JSON -----------------------------------------------------------------------------------
 */
static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* What is no UTF-8 comes back as nothing. */
static json_t *text(const char *s)
{
    json_t *v = json_string(s);

    return v != NULL ? v : json_string("");
}

static json_t *sdp(const struct li_sdp *s)
{
    return s->p != NULL ? json_stringn(s->p, s->n) : json_null();
}

static json_t *side_of(const struct li_side_state *s)
{
    char remote[2 * sizeof s->remote + 1];

    hex_put(&s->remote, sizeof s->remote, remote);
    return json_pack("{s:o,s:o,s:b,s:o,s:o,s:s,s:o,s:o,s:o,s:b}", "line", number(s->line), "trunk",
                     number(s->trunk), "stranger", s->is_stranger, "number", text(s->number), "uri",
                     text(s->uri), "remote", remote, "sdp", sdp(&s->sdp), "offer", sdp(&s->offer),
                     "offer_cseq", number(s->offer_cseq), "in_answer", s->is_offer_in_answer);
}

static json_t *legs_of(const struct li_call *call)
{
    json_t *all = json_array();

    for (unsigned i = 0; all != NULL && i < call->n_legs; i++) {
        const struct li_leg *leg = &call->leg[i];
        json_t *one =
            json_pack("{s:o,s:i,s:o,s:o,s:b,s:b,s:s}", "order", number(leg->order), "role",
                      (int)leg->role, "line", number(leg->line), "trunk", number(leg->trunk),
                      "open", leg->is_open, "away", leg->is_away, "content", leg->content);
        if (json_array_append_new(all, one) != 0) {
            json_decref(all);
            all = NULL;
        }
    }
    return all;
}

static json_t *seen_of(const struct li_call *call)
{
    char hex[2 * sizeof call->seen + 1];

    hex_put(call->seen, sizeof call->seen, hex);
    return json_string(hex);
}

static json_t *json_of(const struct li_call *call)
{
    return json_pack(
        "{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:b,s:b,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",
        "id", call->id, "begin", number(call->begin_us), "known", number(call->last_us), "sip",
        number(call->sip_id), "called", text(call->called), "route", text(call->route), "uri",
        text(call->dialled_uri), "caller_tag", number(call->caller_tag), "answer_tag",
        number(call->answer_tag), "cseq", number(call->invite_cseq), "redirections",
        number(call->redirections), "routed", call->is_routed, "answered", call->is_answered,
        "ringing", call->is_ringing, "invite", call->has_invite, "n_seen", number(call->n_seen),
        "seen", seen_of(call), "caller", side_of(&call->side[LI_CALLER]), "callee",
        side_of(&call->side[LI_CALLEE]), "legs", legs_of(call), "caller_key",
        text(call->crypto != NULL ? call->crypto->of_caller : ""), "callee_key",
        text(call->crypto != NULL ? call->crypto->of_callee : ""));
}

/* ---- from JSON ---------------------------------------------------------------------------------
 */
static uint64_t number_in(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

static bool is_true(const json_t *o, const char *name)
{
    return json_is_true(json_object_get(o, name));
}

static struct view text_in(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);

    return view_from(json_string_value(v), json_string_length(v));
}

static bool read_side(const json_t *o, struct li_side_state *s)
{
    s->line = number_in(o, "line");
    s->trunk = number_in(o, "trunk");
    s->is_stranger = is_true(o, "stranger");
    li_copy_text(s->number, sizeof s->number, text_in(o, "number"));
    li_copy_text(s->uri, sizeof s->uri, text_in(o, "uri"));
    IGNORE(li_sdp_set(&s->sdp, text_in(o, "sdp")) ? E_OK : E_NOTFOUND, "there was none");
    IGNORE(li_sdp_set(&s->offer, text_in(o, "offer")) ? E_OK : E_NOTFOUND, "there was none");
    s->offer_cseq = (uint32_t)number_in(o, "offer_cseq");
    s->is_offer_in_answer = is_true(o, "in_answer");
    return hex_get(text_in(o, "remote"), &s->remote, sizeof s->remote) == E_OK;
}

static bool read_legs(const json_t *all, struct li_call *call)
{
    size_t n = json_array_size(all);

    if (n == 0 || n > LEGS_MAX) {
        return false;
    }
    call->leg = mem_zalloc_array(n, sizeof *call->leg);
    if (call->leg == NULL) {
        return false;
    }
    call->room = call->n_legs = (unsigned)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(all, i);
        struct li_leg *leg = &call->leg[i];
        uint64_t role = number_in(o, "role");
        if (role != LI_ORIGINATES && role != LI_TERMINATES && role != LI_TRANSFERRED) {
            return false;
        }
        *leg = (struct li_leg){.order = number_in(o, "order"),
                               .role = (enum li_role)role,
                               .line = number_in(o, "line"),
                               .trunk = number_in(o, "trunk"),
                               .is_open = is_true(o, "open"),
                               .is_away = is_true(o, "away")};
        li_copy_text(leg->content, sizeof leg->content, text_in(o, "content"));
    }
    return true;
}

/* Keys that are in no session description. */
static void read_crypto(const json_t *o, struct li_call *call)
{
    struct view from = text_in(o, "caller_key"), to = text_in(o, "callee_key");

    call->crypto = from.n + to.n > 0 ? mem_zalloc(sizeof *call->crypto) : NULL;
    if (call->crypto != NULL) {
        li_copy_text(call->crypto->of_caller, LI_CRYPTO_MAX, from);
        li_copy_text(call->crypto->of_callee, LI_CRYPTO_MAX, to);
    }
}

static bool read_call(struct li_calls *c, const json_t *o)
{
    struct view id = text_in(o, "id");
    struct li_call *call = NULL;

    if (id.n == 0 || id.n >= LI_ID_BYTES || li_call_of(c, id) != NULL) {
        return false;
    }
    call = li_call_add(c, id, number_in(o, "begin"));
    if (call == NULL) {
        return false;
    }
    call->known_us = call->last_us = number_in(o, "known");
    call->sip_id = number_in(o, "sip");
    li_call_file(c, call);
    li_copy_text(call->called, sizeof call->called, text_in(o, "called"));
    li_copy_text(call->route, sizeof call->route, text_in(o, "route"));
    li_copy_text(call->dialled_uri, sizeof call->dialled_uri, text_in(o, "uri"));
    call->caller_tag = number_in(o, "caller_tag");
    call->answer_tag = number_in(o, "answer_tag");
    call->invite_cseq = (uint32_t)number_in(o, "cseq");
    call->redirections = (unsigned)number_in(o, "redirections");
    call->is_routed = is_true(o, "routed");
    call->is_answered = is_true(o, "answered");
    call->is_ringing = is_true(o, "ringing");
    call->has_invite = is_true(o, "invite");
    call->n_seen = (unsigned)number_in(o, "n_seen");
    read_crypto(o, call);
    return hex_get(text_in(o, "seen"), call->seen, sizeof call->seen) == E_OK &&
           read_side(json_object_get(o, "caller"), &call->side[LI_CALLER]) &&
           read_side(json_object_get(o, "callee"), &call->side[LI_CALLEE]) &&
           read_legs(json_object_get(o, "legs"), call);
}

/* ---- the file ----------------------------------------------------------------------------------
 */
static enum err file_key(const struct li_calls *c, struct secret *out)
{
    struct secret prk = {{0}, 0};
    enum err e = hkdf_extract(VIEW("headgate li v1"), view_from(c->key->b, c->key->n), &prk);

    TRY(e);
    TRY(hkdf_expand(&prk, VIEW("headgate li calls v1"), 32, out));
out:
    secret_wipe(&prk);
    return e;
}

/* All calls with legs as octets; json_free_t's free: mem_free(). */
static enum err dump(const struct li_calls *c, char **out, size_t *out_n)
{
    json_t *all = json_array();
    enum err e = all != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    for (size_t i = 0; i < c->n; i++) {
        const struct li_call *call = c->all[i];
        if (!call->is_over && call->n_legs > 0 && json_array_append_new(all, json_of(call)) != 0) {
            TRY(FAIL(E_NOMEM));
        }
    }
    *out = json_dumps(all, JSON_COMPACT);
    *out_n = *out != NULL ? strlen(*out) : 0;
    e = *out == NULL ? FAIL(E_NOMEM) : *out_n > FILE_MAX - 64 ? FAIL(E_RANGE) : E_OK;
out:
    json_decref(all);
    return e;
}

enum err li_kept_put(const char *path, const uint8_t *octets, size_t n)
{
    char temp[PATH_BYTES];
    int fd = -1;
    bool ok = false;

    if ((size_t)snprintf(temp, sizeof temp, "%s.new", path) >= sizeof temp) {
        return FAIL(E_RANGE);
    }
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return FAIL(E_IO);
    }
    ok = write(fd, octets, n) == (ssize_t)n;
    ok = fdatasync(fd) == 0 && ok;
    close(fd);
    return ok && rename(temp, path) == 0 ? E_OK : FAIL(E_IO);
}

enum err li_kept_seal(struct li_calls *c, uint8_t **out, size_t *out_n)
{
    struct secret key = {{0}, 0};
    char *plain = NULL;
    uint8_t *sealed = NULL;
    size_t n = 0;
    enum err e = dump(c, &plain, &n);

    TRY(e);
    sealed = mem_zalloc(HEAD + n + GCM_TAG_BYTES);
    if (sealed == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(file_key(c, &key));
    sealed[0] = 1;
    TRY(crypto_random(sealed + 1, GCM_NONCE_BYTES));
    TRY(gcm_seal(&key, sealed + 1, VIEW("calls"), view_from(plain, n), sealed + HEAD));
    *out = sealed;
    *out_n = HEAD + n + GCM_TAG_BYTES;
    sealed = NULL;
    c->is_changed = false;
out:
    secret_wipe(&key);
    if (plain != NULL) {
        wipe(plain, n);
    }
    mem_free(plain);
    mem_free(sealed);
    return e;
}

bool li_kept_is_old(const struct li_calls *c)
{
    return c->is_changed;
}

void li_kept_failed(struct li_calls *c)
{
    c->is_changed = true;
}

static enum err get(const char *path, uint8_t **out, size_t *out_n)
{
    struct stat st;
    uint8_t *octets = NULL;
    enum err e = E_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0) {
        return FAIL(E_NOTFOUND);
    }
    if (fstat(fd, &st) != 0 || st.st_size < HEAD + GCM_TAG_BYTES || st.st_size > FILE_MAX) {
        TRY(FAIL(E_PARSE));
    }
    octets = mem_zalloc((size_t)st.st_size);
    if (octets == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    if (read(fd, octets, (size_t)st.st_size) != st.st_size || octets[0] != 1) {
        TRY(FAIL(E_PARSE));
    }
    *out = octets;
    *out_n = (size_t)st.st_size;
    octets = NULL;
out:
    close(fd);
    mem_free(octets);
    return e;
}

enum err li_kept_read(struct li_calls *c, const char *path)
{
    struct secret key = {{0}, 0};
    uint8_t *sealed = NULL;
    char *plain = NULL;
    json_t *all = NULL;
    size_t n = 0;
    enum err e = get(path, &sealed, &n);

    TRY(e);
    n -= HEAD;
    plain = mem_zalloc(n);
    if (plain == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(file_key(c, &key));
    TRY(gcm_open(&key, sealed + 1, VIEW("calls"), view_from(sealed + HEAD, n), (uint8_t *)plain));
    all = json_loadb(plain, n - GCM_TAG_BYTES, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    for (size_t i = 0; i < json_array_size(all); i++) {
        if (!read_call(c, json_array_get(all, i))) {
            li_calls_forget(c);
            TRY(FAIL(E_PARSE));
        }
    }
    e = json_is_array(all) ? E_OK : FAIL(E_PARSE);
out:
    secret_wipe(&key);
    json_decref(all);
    if (plain != NULL) {
        wipe(plain, n);
    }
    mem_free(plain);
    mem_free(sealed);
    return e;
}
