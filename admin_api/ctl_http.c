#include "admin_api/ctl_http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "admin_api/ctl.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "base/secret.h"

enum { TOKEN_MAX = 512, KEY_BYTES = 16, CONNECT_MS = 5000, WAIT_MIN_S = 1, WAIT_DEFAULT_S = 2 };

struct transfer {
    CURL *easy;
    struct curl_slist *headers;
    const struct ctl_ask *q;
    struct ctl_reply *reply;
    size_t room;
    bool is_too_long;
    char error[CURL_ERROR_SIZE];
};

/* ---- who we are --------------------------------------------------------------------------------
 */
/* "http://127.0.0.1:8080": an address of this machine, and nothing that only begins like one. */
static bool is_loopback(const char *url)
{
    char host[64];
    struct in_addr four;
    size_t n = 0;

    if (strncasecmp(url, "http://", 7) != 0) {
        return false;
    }
    n = url[7] == '[' ? strcspn(url + 7, "]") + 1 : strcspn(url + 7, ":/");
    if (n >= sizeof host) {
        return false;
    }
    memcpy(host, url + 7, n);
    host[n] = 0;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127);
}

int ctl_http_check(const struct ctl_http_cfg *cfg)
{
    bool is_https = strncasecmp(cfg->url, "https://", 8) == 0;

    if (cfg->url[0] != 0 && !is_https && !is_loopback(cfg->url)) {
        return ctl_fail(CTL_USAGE,
                        "the API's URL is https://HOST:PORT (http:// on this machine only), not "
                        "'%s'",
                        cfg->url);
    }
    if (strpbrk(cfg->url, "?#@ ") != NULL) {
        return ctl_fail(CTL_USAGE, "the API's URL is a host and a port, no more: '%s'", cfg->url);
    }
    if ((cfg->certificate[0] != 0) != (cfg->private_key[0] != 0)) {
        return ctl_fail(CTL_USAGE, "a client certificate needs its private key, and the other way");
    }
    return CTL_OK;
}

static bool is_token(const char *text)
{
    return text[0] != 0 && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                             "0123456789-._~+/=")] == 0;
}

static bool add_header(struct transfer *t, const char *line)
{
    struct curl_slist *more = curl_slist_append(t->headers, line);

    t->headers = more != NULL ? more : t->headers;
    return more != NULL;
}

/* The file's one line as a bearer token (RFC 6750 section 2.1). */
static int add_token(struct transfer *t, const char *path)
{
    char line[sizeof "Authorization: Bearer " + TOKEN_MAX + 2] = "Authorization: Bearer ";
    char *token = line + strlen(line);
    size_t n = 0;
    enum err e = E_OK;
    int rc = CTL_OK;

    if (path[0] == 0) {
        return CTL_OK;
    }
    e = secret_file_read(path, false, token, TOKEN_MAX + 1, &n);
    n -= e == E_OK && n > 0 && token[n - 1] == '\n';
    if (e != E_OK) {
        rc = ctl_fail(CTL_USAGE, "token file %s: %s", path,
                      e == E_DENIED ? "only its owner may read it (chmod 600)" : err_text(e));
    } else {
        token[n] = 0;
        rc = strlen(token) == n && is_token(token)
                 ? CTL_OK
                 : ctl_fail(CTL_USAGE, "token file %s: one line with a token expected", path);
    }
    if (rc == CTL_OK && !add_header(t, line)) {
        rc = ctl_fail(CTL_BROKEN, "no memory");
    }
    wipe(line, sizeof line);
    return rc;
}

static void free_headers(struct curl_slist *headers)
{
    for (struct curl_slist *h = headers; h != NULL; h = h->next) {
        wipe(h->data, strlen(h->data));
    }
    curl_slist_free_all(headers);
}

/* ---- what comes --------------------------------------------------------------------------------
 */
static bool keep(struct transfer *t, const char *p, size_t n)
{
    struct ctl_reply *r = t->reply;

    if (n > CTL_BODY_MAX - r->n) {
        t->is_too_long = true;
        return false;
    }
    if (r->n + n + 1 > t->room) {
        size_t room = (r->n + n + 1) * 2 + 4096;
        char *more = mem_resize(r->body, room);
        if (more == NULL) {
            return false;
        }
        r->body = more;
        t->room = room;
    }
    memcpy(r->body + r->n, p, n);
    r->n += n;
    r->body[r->n] = 0;
    return true;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    long status = 0;

    n *= size;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (t->q->piece == NULL || status >= 300) {
        return keep(t, p, n) ? n : 0;
    }
    t->reply->was_ended = !t->q->piece(t->q->arg, p, n);
    return t->reply->was_ended ? 0 : n;
}

static void take_header(struct view line, struct view name, char *out, size_t max)
{
    if (view_starts_nocase(line, name)) {
        IGNORE(view_to_cstr(view_trim(view_sub(line, name.n, line.n)), out, max),
               "one that is too long is none");
    }
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    struct ctl_reply *r = t->reply;
    struct view line = view_from(p, size * n);
    char seconds[16] = "";
    uint64_t s = 0;

    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r')) {
        line.n--;
    }
    take_header(line, VIEW("etag:"), r->etag, sizeof r->etag);
    take_header(line, VIEW("location:"), r->location, sizeof r->location);
    take_header(line, VIEW("content-type:"), r->content_type, sizeof r->content_type);
    take_header(line, VIEW("x-request-id:"), r->request_id, sizeof r->request_id);
    take_header(line, VIEW("retry-after:"), seconds, sizeof seconds);
    if (view_to_u64(view_of(seconds), 86400, &s) == E_OK) {
        r->retry_after_s = (unsigned)s;
    }
    return size * n;
}

/* ---- one question ------------------------------------------------------------------------------
 */
/* libcurl's options are of many types. */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (curl_easy_setopt(t->easy, option, value) != CURLE_OK) {                                \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

static bool set_way(struct transfer *t, const struct ctl_http_cfg *cfg)
{
    char url[CTL_PATH_MAX + 512];
    size_t host = strlen(cfg->url);

    while (host > 0 && cfg->url[host - 1] == '/') {
        host--;
    }
    snprintf(url, sizeof url, "%.*s%s", host > 0 ? (int)host : 16,
             host > 0 ? cfg->url : "http://localhost", t->q->path);
    SET(CURLOPT_URL, url);
    if (host == 0) {
        SET(CURLOPT_UNIX_SOCKET_PATH, cfg->socket);
    }
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (cfg->ca[0] != 0) {
        SET(CURLOPT_CAINFO, cfg->ca);
        SET(CURLOPT_CAPATH, NULL); /* that authority and no other */
    }
    if (cfg->certificate[0] != 0) {
        SET(CURLOPT_SSLCERT, cfg->certificate);
        SET(CURLOPT_SSLKEY, cfg->private_key);
    }
    return true;
}

static bool set_question(struct transfer *t, const struct ctl_http_cfg *cfg)
{
    const struct ctl_ask *q = t->q;

    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "headgatectl");
    SET(CURLOPT_CUSTOMREQUEST, q->method);
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    if (q->stream_ms == 0) {
        SET(CURLOPT_TIMEOUT_MS, (long)cfg->timeout_ms);
    } else {
        SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
        SET(CURLOPT_LOW_SPEED_TIME, (long)(q->stream_ms / 1000));
    }
    if (q->body != NULL) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(q->body));
        SET(CURLOPT_POSTFIELDS, q->body);
    } else if (strcmp(q->method, "POST") == 0) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        SET(CURLOPT_POSTFIELDS, "");
    }
    return true;
}

static bool add_named(struct transfer *t, const char *name, const char *value)
{
    char line[512];

    if (value == NULL || value[0] == 0) {
        return true;
    }
    return (size_t)snprintf(line, sizeof line, "%s: %s", name, value) < sizeof line &&
           add_header(t, line);
}

static bool add_headers(struct transfer *t, const char *key)
{
    const struct ctl_ask *q = t->q;
    bool is_post = strcmp(q->method, "POST") == 0;

    return add_header(t, "Expect:") && /* no 100-continue */
           /* without a body none, whatever libcurl thinks of a POST */
           (q->body != NULL ? add_named(t, "Content-Type", q->content_type)
                            : add_header(t, "Content-Type:")) &&
           add_named(t, "Accept",
                     q->accept != NULL ? q->accept
                                       : "application/json, application/problem+json") &&
           add_named(t, "If-Match", q->if_match) &&
           add_named(t, "Last-Event-ID", q->last_event_id) &&
           add_named(t, "Idempotency-Key", is_post ? key : NULL);
}

static int explain(const struct ctl_http_cfg *cfg, const struct transfer *t, CURLcode code)
{
    const char *where = cfg->url[0] != 0 ? cfg->url : cfg->socket;
    const char *words = t->error[0] != 0 ? t->error : curl_easy_strerror(code);

    long reason = 0;

    if (t->is_too_long) {
        return ctl_fail(CTL_BROKEN, "%s: an answer of more than %d MiB", where, CTL_BODY_MAX >> 20);
    }
    if (code == CURLE_COULDNT_CONNECT && cfg->url[0] == 0) {
        curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &reason);
        return ctl_fail(CTL_UNREACHABLE, "%s: %s (is %s running?)", where,
                        reason != 0 ? strerror((int)reason) : "nobody answers", cfg->server);
    }
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST) {
        return ctl_fail(CTL_UNREACHABLE, "%s: %s (is %s running?)", where, words, cfg->server);
    }
    if (code == CURLE_OPERATION_TIMEDOUT && t->q->stream_ms == 0) {
        return ctl_fail(CTL_UNREACHABLE,
                        "%s: no answer within %llu s; what was asked may have been "
                        "done",
                        where, (unsigned long long)cfg->timeout_ms / 1000);
    }
    return ctl_fail(CTL_UNREACHABLE, "%s: %s", where, words);
}

static int ask_once(const struct ctl_http_cfg *cfg, const struct ctl_ask *q, const char *key,
                    struct ctl_reply *out)
{
    struct transfer t = {.easy = curl_easy_init(), .q = q, .reply = out};
    CURLcode code = CURLE_OK;
    long status = 0;
    int rc = t.easy != NULL && add_headers(&t, key) ? add_token(&t, cfg->token_file)
                                                    : ctl_fail(CTL_BROKEN, "no memory");

    if (rc == CTL_OK && (!set_way(&t, cfg) || !set_question(&t, cfg))) {
        rc = ctl_fail(CTL_BROKEN, "libcurl lacks something: Unix sockets or TLS");
    }
    if (rc == CTL_OK) {
        code = curl_easy_perform(t.easy);
        curl_easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &status);
        out->status = (unsigned)status;
        if (code != CURLE_OK && !out->was_ended) {
            rc = explain(cfg, &t, code);
        }
    }
    curl_easy_cleanup(t.easy);
    free_headers(t.headers);
    return rc;
}

void ctl_reply_free(struct ctl_reply *r)
{
    if (r->body != NULL) {
        wipe(r->body, r->n);
        mem_free(r->body);
    }
    *r = (struct ctl_reply){.status = 0};
}

static bool shall_wait(const struct ctl_reply *r, uint64_t left_ms, unsigned *out_s)
{
    *out_s = r->retry_after_s > WAIT_MIN_S ? r->retry_after_s
             : r->retry_after_s > 0        ? WAIT_MIN_S
                                           : WAIT_DEFAULT_S;
    return (r->status == 429 || r->status == 503) && (uint64_t)*out_s * 1000 <= left_ms;
}

int ctl_http_ask(const struct ctl_http_cfg *cfg, const struct ctl_ask *q, struct ctl_reply *out)
{
    uint8_t random[KEY_BYTES];
    char key[2 * KEY_BYTES + 1];
    uint64_t left = cfg->retry_ms;
    unsigned wait_s = 0;
    int rc = CTL_OK;

    *out = (struct ctl_reply){.status = 0};
    if (crypto_random(random, sizeof random) != E_OK) {
        return ctl_fail(CTL_BROKEN, "no randomness");
    }
    hex_put(random, sizeof random, key);
    for (;;) {
        rc = ask_once(cfg, q, key, out);
        if (rc != CTL_OK || !shall_wait(out, left, &wait_s)) {
            return rc;
        }
        left -= (uint64_t)wait_s * 1000;
        ctl_reply_free(out);
        nanosleep(&(const struct timespec){.tv_sec = (time_t)wait_s}, NULL);
    }
}
