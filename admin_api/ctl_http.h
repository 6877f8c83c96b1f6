/* admin_api/ctl_http.h - headgatectl's questions to headgate-admin, and an officer's to
 * headgate-li: the only door to libcurl here.
 *
 * Way        a Unix socket, where the kernel says who we are; or an https:// URL, where a token
 * from a file or a client certificate does. http:// goes to loopback addresses only. No proxy, no
 * redirect, nothing from the environment or ~/.netrc.
 * Again      429 and 503 are asked again after their Retry-After (RFC 9110 section 10.2.3), as long
 * as all the waiting stays below retry_ms; a POST carries an Idempotency-Key for that, the same
 * each time. Secrets    the token is read for each question from a file that only its owner may
 * read, and wiped; it is in no argument, no environment and no message. Errors     printed in
 * words; the codes of ctl.h. Threads    one. */
#ifndef ADMIN_API_CTL_HTTP_H
#define ADMIN_API_CTL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CTL_PATH_MAX = 2048, CTL_BODY_MAX = 64 << 20 };

struct ctl_http_cfg {
    const char *socket; /* when there is no url */
    const char *url;    /* "https://HOST:PORT"; "": the socket */
    const char *token_file, *ca, *certificate, *private_key; /* files; "": none */
    uint64_t timeout_ms;                                     /* of one question */
    uint64_t retry_ms;
    const char *server; /* its name, for words */
};

/* Whether a configuration can be used at all: CTL_OK, or printed why not. */
int ctl_http_check(const struct ctl_http_cfg *cfg);

struct ctl_ask {
    const char *method, *path;                     /* with query; from "/api/..." on */
    const char *body, *content_type;               /* NULL: none */
    const char *if_match, *accept, *last_event_id; /* NULL: none */
    /* A body that comes piece by piece, of answers below 300 alone; false ends it. NULL: kept. Then
     * there is no time limit, but that something comes within stream_ms. */
    bool (*piece)(void *arg, const char *p, size_t n);
    void *arg;
    uint64_t stream_ms;
};

struct ctl_reply {
    unsigned status;
    char *body; /* n octets and a NUL; NULL: none */
    size_t n;
    char etag[128], location[256], content_type[64], request_id[80];
    unsigned retry_after_s;
    bool was_ended; /* by piece() */
};

/* CTL_OK: an answer came, of whatever status. Free with ctl_reply_free() in any case. */
int ctl_http_ask(const struct ctl_http_cfg *cfg, const struct ctl_ask *q, struct ctl_reply *out);
void ctl_reply_free(struct ctl_reply *r); /* wipes: there may be a new token in it */

#endif
