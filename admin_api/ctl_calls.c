/* What only the running gate controller knows, asked over its control socket (gc/control.h). */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "admin_api/ctl.h"
#include "admin_api/ctl_ladder.h"
#include "base/mem.h"
#include "base/secret.h"
#include "gc/control.h"

#define ANSWER_MAX_BYTES (16u * 1024 * 1024)
#define ANSWER_WAIT_S    5

enum { IN_FORCE_WAIT_MS = 10000, IN_FORCE_PAUSE_MS = 20 };

static int dial(const struct ctl *c)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = ANSWER_WAIT_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(c->control) >= sizeof sa.sun_path) {
        (void)ctl_fail(CTL_UNREACHABLE, "control socket path too long: %s", c->control);
        goto failed;
    }
    memcpy(sa.sun_path, c->control, strlen(c->control) + 1);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&sa, sizeof sa) != 0) {
        (void)ctl_fail(CTL_UNREACHABLE, "%s: %s (is headgate running?)", c->control,
                       strerror(errno));
        goto failed;
    }
    return fd;
failed:
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

static char *read_all(int fd, size_t *out_n)
{
    size_t room = 65536, n = 0;
    char *text = mem_resize(NULL, room);

    while (text != NULL) {
        ssize_t got = read(fd, text + n, room - n);
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
        if (n == room) {
            char *more = room < ANSWER_MAX_BYTES ? mem_resize(text, room * 2) : NULL;
            if (more == NULL) {
                mem_free(text);
                return NULL;
            }
            text = more;
            room *= 2;
        }
    }
    *out_n = n;
    return text;
}

/* Takes over `request`. NULL after an error was printed; *rc says which. */
static json_t *ask(const struct ctl *c, json_t *request, int *rc)
{
    char *line = json_dumps(request, JSON_COMPACT);
    int fd = line != NULL ? dial(c) : -1;
    size_t n = 0;
    char *text = NULL;
    json_t *answer = NULL;

    *rc = CTL_UNREACHABLE;
    if (fd >= 0 && dprintf(fd, "%s\n", line) > 0) {
        text = read_all(fd, &n);
        answer = text != NULL ? json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (answer == NULL) {
            (void)ctl_fail(CTL_UNREACHABLE, "no sensible answer within %d s", ANSWER_WAIT_S);
        } else if (!json_is_true(json_object_get(answer, "ok"))) {
            const char *why = json_string_value(json_object_get(answer, "error"));
            *rc = ctl_fail(CTL_REFUSED, "%s", why != NULL ? why : "refused");
            json_decref(answer);
            answer = NULL;
        } else {
            *rc = CTL_OK;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    mem_free(text);
    free(line); /* jansson allocated it */
    json_decref(request);
    return answer;
}

static const char *field(const json_t *o, const char *key, char buf[64])
{
    const json_t *v = json_object_get(o, key);

    if (json_is_string(v)) {
        return json_string_value(v);
    }
    if (json_is_integer(v)) {
        snprintf(buf, 64, "%lld", (long long)json_integer_value(v));
        return buf;
    }
    if (json_is_real(v)) {
        snprintf(buf, 64, "%.1f", json_real_value(v));
        return buf;
    }
    return json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "";
}

static void print_rows(const json_t *rows, const char *const *columns)
{
    int width[CTL_SQL_COLUMNS_MAX];
    char buf[64];
    size_t i = 0;
    json_t *row = NULL;

    for (int c = 0; columns[c] != NULL; c++) {
        width[c] = (int)strlen(columns[c]);
        json_array_foreach(rows, i, row)
        {
            int n = (int)strlen(field(row, columns[c], buf));
            width[c] = n > width[c] ? n : width[c];
        }
    }
    for (int c = 0; columns[c] != NULL; c++) {
        printf("%-*s%s", width[c], columns[c], columns[c + 1] != NULL ? "  " : "\n");
    }
    json_array_foreach(rows, i, row)
    {
        for (int c = 0; columns[c] != NULL; c++) {
            printf("%-*s%s", width[c], field(row, columns[c], buf),
                   columns[c + 1] != NULL ? "  " : "\n");
        }
    }
}

static int print_json(json_t *answer, const char *key)
{
    json_dumpf(key != NULL ? json_object_get(answer, key) : answer, stdout, JSON_INDENT(2));
    putchar('\n');
    return CTL_OK;
}

static int list(struct ctl *c, json_t *request, const char *key, const char *const *columns)
{
    int rc = CTL_OK;
    json_t *answer = ask(c, request, &rc);

    if (answer == NULL) {
        return rc;
    }
    if (c->json) {
        rc = print_json(answer, key);
    } else {
        print_rows(json_object_get(answer, key), columns);
    }
    json_decref(answer);
    return rc;
}

int ctl_status(struct ctl *c, struct ctl_args *a)
{
    int rc = CTL_OK;
    char buf[64];
    const char *key = NULL;
    json_t *value = NULL;
    json_t *answer = NULL;

    if (a->n != 0) {
        return ctl_fail(CTL_USAGE, "usage: headgatectl status");
    }
    answer = ask(c, json_pack("{s:s}", "op", "status"), &rc);
    if (answer == NULL) {
        return rc;
    }
    if (c->json) {
        rc = print_json(answer, NULL);
    } else {
        json_object_foreach(answer, key, value)
        {
            if (strcmp(key, "ok") != 0) {
                printf("%s: %s\n", key, field(answer, key, buf));
            }
        }
    }
    json_decref(answer);
    return rc;
}

/* What was committed before this moment ends below this number. */
static int committed_below(struct ctl *c, json_int_t *out)
{
    struct pg_result *r = NULL;
    int rc = ctl_query(c, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text", NULL, 0, &r);

    if (rc == CTL_OK) {
        *out = (json_int_t)pg_u64(r, 0, 0);
    }
    pg_result_free(r);
    return rc;
}

int ctl_in_force(struct ctl *c)
{
    const struct timespec pause = {.tv_nsec = IN_FORCE_PAUSE_MS * 1000000L};
    json_int_t want = 0;
    int rc = committed_below(c, &want);

    for (int waited = 0; rc == CTL_OK && waited < IN_FORCE_WAIT_MS; waited += IN_FORCE_PAUSE_MS) {
        json_t *answer = ask(c, json_pack("{s:s}", "op", "changes"), &rc);
        bool there = json_integer_value(json_object_get(answer, "change_seq")) >= want &&
                     json_is_true(json_object_get(answer, "followed"));
        json_decref(answer);
        if (rc != CTL_OK || there) {
            return rc;
        }
        nanosleep(&pause, NULL);
    }
    return rc != CTL_OK ? rc
                        : ctl_fail(CTL_UNREACHABLE,
                                   "written, but the gate controller has not taken it over "
                                   "within %d s; it does so by itself",
                                   IN_FORCE_WAIT_MS / 1000);
}

int ctl_calls(struct ctl *c, struct ctl_args *a)
{
    bool recent = ctl_flag(a, "--recent");

    if (a->n != 0) {
        return ctl_fail(CTL_USAGE, "usage: headgatectl calls [--recent]");
    }
    return list(c,
                recent ? json_pack("{s:s,s:i}", "op", "recent", "limit", 100)
                       : json_pack("{s:s}", "op", "calls"),
                "calls",
                (const char *const[]){"id", "state", "caller", "called", "route", "started",
                                      "answered", "worker", "call_id", NULL});
}

int ctl_registrations(struct ctl *c, struct ctl_args *a)
{
    return a->n != 0
               ? ctl_fail(CTL_USAGE, "usage: headgatectl registrations")
               : list(c, json_pack("{s:s}", "op", "registrations"), "registrations",
                      (const char *const[]){"line", "number", "contact", "transport", "remote",
                                            "expires_s", "bti", "phone", "node", NULL});
}

int ctl_sessions(struct ctl *c, struct ctl_args *a)
{
    return a->n != 0 ? ctl_fail(CTL_USAGE, "usage: headgatectl sessions")
                     : list(c, json_pack("{s:s}", "op", "sessions"), "sessions",
                            (const char *const[]){"kid", "line", "bti", "expires_s", NULL});
}

int ctl_ps(struct ctl *c, struct ctl_args *a)
{
    return a->n != 0 ? ctl_fail(CTL_USAGE, "usage: headgatectl ps")
                     : list(c, json_pack("{s:s}", "op", "ps"), "servers",
                            (const char *const[]){"server", "healthy", "last_answer_s", NULL});
}

int ctl_trunk_status(struct ctl *c, struct ctl_args *a)
{
    return a->n != 0 ? ctl_fail(CTL_USAGE, "usage: headgatectl trunk status")
                     : list(c, json_pack("{s:s}", "op", "trunks"), "trunks",
                            (const char *const[]){"trunk", "transport", "address", "state",
                                                  "last_answer_s", "calls", "calls_total",
                                                  "refused", "failed", "dns", NULL});
}

int ctl_call_end(struct ctl *c, struct ctl_args *a)
{
    int rc = CTL_OK;

    if (a->n != 1) {
        return ctl_fail(CTL_USAGE, "usage: headgatectl call end CALL");
    }
    json_decref(ask(c, json_pack("{s:s,s:s}", "op", "end", "id", a->v[0]), &rc));
    return rc;
}

int ctl_seal_credential(struct ctl *c, const char *username, const char *algorithm,
                        const char *password, struct ctl_sealed *out)
{
    json_t *request = json_pack("{s:s,s:s,s:s,s:s}", "op", "seal_credential", "username", username,
                                "algorithm", algorithm, "password", password);
    json_t *answer = NULL;
    const char *hex = NULL, *realm = NULL;
    int rc = CTL_OK;

    if (request == NULL) {
        return ctl_fail(CTL_USAGE, "the password is not UTF-8");
    }
    answer = ask(c, request, &rc);
    if (answer == NULL) {
        return rc;
    }
    hex = json_string_value(json_object_get(answer, "sealed"));
    realm = json_string_value(json_object_get(answer, "realm"));
    out->n = hex != NULL ? strlen(hex) / 2 : 0;
    if (realm == NULL || out->n == 0 || out->n > sizeof out->b ||
        hex_get(view_of(hex), out->b, out->n) != E_OK ||
        view_to_cstr(view_of(realm), out->realm, sizeof out->realm) != E_OK) {
        rc = ctl_fail(CTL_BROKEN, "the gate controller's answer makes no sense");
    }
    json_decref(answer);
    return rc;
}

int ctl_call_show(struct ctl *c, struct ctl_args *a)
{
    bool ladder = ctl_flag(a, "--ladder"), octets = ctl_flag(a, "--octets");
    const char *key = NULL;
    json_t *value = NULL, *answer = NULL, *call = NULL;
    char buf[64];
    int rc = CTL_OK;

    if (a->n != 1) {
        return ctl_fail(CTL_USAGE, "usage: headgatectl call show CALL [--ladder] [--octets]");
    }
    answer = ask(c, json_pack("{s:s,s:s}", "op", "call", "id", a->v[0]), &rc);
    if (answer == NULL) {
        return rc;
    }
    call = json_object_get(answer, "call");
    if (c->json) {
        rc = print_json(answer, NULL);
    } else {
        json_object_foreach(call, key, value)
        {
            printf("%s: %s\n", key, field(call, key, buf));
        }
        if (ladder || octets) {
            ctl_print_ladder(stdout, json_object_get(answer, "ladder"), octets);
        }
    }
    json_decref(answer);
    return rc;
}

/* ---- routing -----------------------------------------------------------------------------------
 */
/* "2026-11-24T08:30:00Z", "2026-11-24 08:30": UTC. */
static bool read_time(const char *text, json_int_t *out)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d %H:%M"};

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        if (end != NULL && *end == 0) {
            *out = (json_int_t)timegm(&tm);
            return *out > 0;
        }
    }
    return false;
}

static void print_decision(const json_t *answer)
{
    size_t i = 0;
    json_t *step = NULL;

    json_array_foreach(json_object_get(answer, "steps"), i, step)
    {
        printf("%2zu  %s\n", i + 1, json_string_value(step));
    }
}

int ctl_route_test(struct ctl *c, struct ctl_args *a)
{
    const char *from = ctl_option(a, "--from"), *trunk = ctl_option(a, "--from-trunk");
    const char *at = ctl_option(a, "--at");
    json_int_t seconds = 0;
    json_t *request = NULL, *answer = NULL;
    int rc = CTL_OK;

    if (a->n != 1 || (from != NULL && trunk != NULL)) {
        return ctl_fail(CTL_USAGE, "usage: headgatectl route test NUMBER [--from NUMBER | "
                                   "--from-trunk TRUNK] [--at TIME]");
    }
    if (at != NULL && !read_time(at, &seconds)) {
        return ctl_fail(CTL_USAGE, "--at takes a time as 2026-11-24T08:30:00Z (UTC), not '%s'", at);
    }
    request = json_pack("{s:s,s:s,s:I}", "op", "route", "number", a->v[0], "at", seconds);
    if (request != NULL && (from != NULL || trunk != NULL)) {
        json_object_set_new(request, from != NULL ? "from" : "from_trunk",
                            json_string(from != NULL ? from : trunk));
    }
    if (request == NULL) {
        return ctl_fail(CTL_USAGE, "NUMBER is no text in UTF-8");
    }
    answer = ask(c, request, &rc);
    if (answer == NULL) {
        return rc;
    }
    if (c->json) {
        json_object_del(answer, "ok");
        rc = print_json(answer, NULL);
    } else {
        print_decision(answer);
    }
    json_decref(answer);
    return rc;
}

int ctl_seal_trunk(struct ctl *c, struct view trunk, struct view user,
                   const struct secret *password, uint8_t *sealed, size_t max, size_t *out_n)
{
    json_t *request =
        json_pack("{s:s,s:s%,s:s%,s:s%}", "op", "seal_trunk", "trunk", trunk.p, trunk.n, "user",
                  user.p, user.n, "password", (const char *)password->b, password->n);
    json_t *answer = NULL;
    const char *hex = NULL;
    int rc = CTL_OK;

    if (request == NULL) {
        return ctl_fail(CTL_REFUSED, "the password is no text in UTF-8");
    }
    answer = ask(c, request, &rc);
    if (answer == NULL) {
        return rc;
    }
    hex = json_string_value(json_object_get(answer, "sealed"));
    *out_n = hex != NULL ? strlen(hex) / 2 : 0;
    if (*out_n == 0 || *out_n > max || hex_get(view_of(hex), sealed, *out_n) != E_OK) {
        rc = ctl_fail(CTL_BROKEN, "the gate controller gave no sealed password");
    }
    json_decref(answer);
    return rc;
}
