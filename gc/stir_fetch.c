/* The fetcher: a thread around libcurl's multi interface. */
#include "gc/stir_fetch.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { RUNNING_MAX = 16, QUEUE_MAX = 256, IDLE_MS = 1000 };

const char *const stir_fetch_names[STIR_FETCH_RESULTS] = {"ok",      "refused",     "answer", "tls",
                                                          "timeout", "unreachable", "full"};

struct question {
    struct question *next;
    char url[STIR_URL_MAX];
};

struct stir_fetcher {
    stir_fetched_fn *fn;
    void *arg;
    CURLM *multi;
    pthread_t thread;
    bool has_thread;
    atomic_bool stops;
    pthread_mutex_t lock; /* of what follows */
    struct stir_rules rules;
    struct question *first, **last;
    unsigned n_waiting;
    /* the thread's */
    unsigned n_running;
    struct transfer *running;
};

struct transfer {
    struct transfer *next;
    struct stir_rules rules; /* in force when it began */
    CURL *easy;
    struct question *q;
    uint64_t began_us;
    bool is_refused, is_too_long, has_max_age;
    uint64_t max_age_s;
    size_t n;
    char body[STIR_BODY_MAX];
};

/* ---- what libcurl asks -------------------------------------------------------------------------
 */
/* The last word on where we connect: the address itself, after all names are resolved. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct transfer *t = arg;
    struct net_addr to = {0};
    struct sockaddr_in6 six;
    bool is_mapped = false;

    if (a->family == AF_INET6 && a->addrlen >= sizeof six) {
        memcpy(&six, (const char *)a + offsetof(struct curl_sockaddr, addr), sizeof six);
        is_mapped = IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) || IN6_IS_ADDR_V4COMPAT(&six.sin6_addr);
    }
    if (purpose != CURLSOCKTYPE_IPCXN || is_mapped || a->socktype != SOCK_STREAM ||
        net_from_sockaddr(&a->addr, &to) != E_OK || !stir_may_connect(&t->rules, &to)) {
        t->is_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    size_t more = size * n;

    if (more > sizeof t->body - t->n) {
        t->is_too_long = true;
        return 0;
    }
    memcpy(t->body + t->n, p, more);
    t->n += more;
    return more;
}

static void read_cache_control(struct transfer *t, struct view value)
{
    while (value.n > 0) {
        size_t at = value.n;
        struct view one;
        uint64_t s = 0;
        at = view_find(value, ',', &at) ? at : value.n;
        one = view_trim(view_sub(value, 0, at));
        value = view_sub(value, at + 1, value.n);
        if (view_eq_nocase(one, VIEW("no-store")) || view_eq_nocase(one, VIEW("no-cache"))) {
            t->has_max_age = true;
            t->max_age_s = 0;
            return;
        }
        if (view_starts_nocase(one, VIEW("max-age=")) &&
            view_to_u64(view_sub(one, 8, one.n), UINT32_MAX, &s) == E_OK) {
            t->has_max_age = true;
            t->max_age_s = s;
        }
    }
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct view line = view_from(p, size * n);
    struct view name = VIEW("cache-control:");

    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r')) {
        line.n--;
    }
    if (view_starts_nocase(line, name)) {
        read_cache_control(arg, view_sub(line, name.n, line.n));
    }
    return size * n;
}

/* ---- one transfer ------------------------------------------------------------------------------
 */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (curl_easy_setopt(t->easy, option, value) != CURLE_OK) {                                \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

static bool set_bounds(struct transfer *t)
{
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* not even one of the environment */
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_MAXFILESIZE, (long)STIR_BODY_MAX);
    SET(CURLOPT_TIMEOUT_MS, (long)t->rules.timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)t->rules.timeout_ms);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* nobody waits for a resolver that does not answer */
    SET(CURLOPT_FORBID_REUSE, 1L);
    return true;
}

static bool set_tls(struct transfer *t)
{
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    if (t->rules.ca[0] != 0) {
        SET(CURLOPT_CAINFO, t->rules.ca);
        SET(CURLOPT_CAPATH, NULL);
    }
    return true;
}

static bool set_up(struct transfer *t)
{
    SET(CURLOPT_URL, t->q->url);
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_USERAGENT, "headgate");
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    return set_bounds(t) && set_tls(t);
}

static uint64_t now_us(void)
{
    const struct clock *c = clock_system();

    return c->mono_us(c->arg);
}

static void tell(struct stir_fetcher *f, const struct transfer *t, const struct question *q,
                 enum stir_fetch_result result)
{
    struct stir_fetched done = {.url = q->url, .result = result};

    if (t != NULL) {
        done.took_us = now_us() - t->began_us;
        done.has_max_age = t->has_max_age;
        done.max_age_s = t->max_age_s;
        done.body = result == STIR_FETCH_OK ? view_from(t->body, t->n) : VIEW("");
    }
    f->fn(f->arg, &done);
}

static void transfer_free(struct stir_fetcher *f, struct transfer *t)
{
    struct transfer **at = &f->running;

    while (*at != NULL && *at != t) {
        at = &(*at)->next;
    }
    if (*at == t) {
        *at = t->next;
        f->n_running--;
    }
    if (t->easy != NULL) {
        IGNORE(curl_multi_remove_handle(f->multi, t->easy) == CURLM_OK ? E_OK : E_STATE,
               "it may never have been in");
        curl_easy_cleanup(t->easy);
    }
    mem_free(t->q);
    mem_free(t);
}

static bool begin(struct stir_fetcher *f, struct question *q, const struct stir_rules *rules)
{
    struct transfer *t = mem_zalloc(sizeof *t);

    if (t == NULL) {
        return false;
    }
    t->rules = *rules;
    t->q = q;
    t->began_us = now_us();
    t->easy = curl_easy_init();
    if (t->easy == NULL || !set_up(t) || curl_multi_add_handle(f->multi, t->easy) != CURLM_OK) {
        t->q = NULL; /* the caller's still */
        transfer_free(f, t);
        return false;
    }
    t->next = f->running;
    f->running = t;
    f->n_running++;
    return true;
}

static enum stir_fetch_result result_of(const struct transfer *t, CURLcode code)
{
    long status = 0;

    if (t->is_refused) {
        return STIR_FETCH_REFUSED;
    }
    if (t->is_too_long) {
        return STIR_FETCH_ANSWER;
    }
    switch ((int)code) {
    case CURLE_OK:
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        return status == 200 && t->n > 0 ? STIR_FETCH_OK : STIR_FETCH_ANSWER;
    case CURLE_FILESIZE_EXCEEDED:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return STIR_FETCH_ANSWER;
    case CURLE_OPERATION_TIMEDOUT:
        return STIR_FETCH_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return STIR_FETCH_TLS;
    default:
        return STIR_FETCH_UNREACHABLE;
    }
}

/* ---- the thread --------------------------------------------------------------------------------
 */
static struct question *next_question(struct stir_fetcher *f, struct stir_rules *rules)
{
    struct question *q = NULL;

    BUG_ON(pthread_mutex_lock(&f->lock) != 0);
    q = f->n_running < RUNNING_MAX ? f->first : NULL;
    if (q != NULL) {
        f->first = q->next;
        f->last = f->first == NULL ? &f->first : f->last;
        f->n_waiting--;
        *rules = f->rules;
    }
    BUG_ON(pthread_mutex_unlock(&f->lock) != 0);
    return q;
}

static void begin_all(struct stir_fetcher *f)
{
    struct stir_rules rules;
    struct question *q = NULL;

    while ((q = next_question(f, &rules)) != NULL) {
        if (!begin(f, q, &rules)) {
            tell(f, NULL, q, STIR_FETCH_FULL);
            mem_free(q);
        }
    }
}

static void end_all(struct stir_fetcher *f)
{
    int left = 0;
    CURLMsg *m = NULL;
    struct transfer *t = NULL;

    while ((m = curl_multi_info_read(f->multi, &left)) != NULL) {
        if (m->msg == CURLMSG_DONE &&
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) == CURLE_OK) {
            tell(f, t, t->q, result_of(t, m->data.result));
            transfer_free(f, t);
        }
    }
}

static void *fetch_thread(void *arg)
{
    struct stir_fetcher *f = arg;
    int running = 0;

    while (!atomic_load(&f->stops)) {
        begin_all(f);
        if (curl_multi_perform(f->multi, &running) != CURLM_OK) {
            LOG(LV_ERROR, "stir.fetcher", KV("running", running), KV_ERR(E_IO));
        }
        end_all(f);
        /* A wake-up that comes before is kept. */
        if (curl_multi_poll(f->multi, NULL, 0, IDLE_MS, NULL) != CURLM_OK) {
            LOG(LV_ERROR, "stir.fetcher", KV("running", running), KV_ERR(E_IO));
        }
    }
    return NULL;
}

/* ---- the others' side --------------------------------------------------------------------------
 */
enum err stir_fetcher_start(const struct stir_rules *rules, stir_fetched_fn *fn, void *arg,
                            struct stir_fetcher **out)
{
    struct stir_fetcher *f = mem_zalloc(sizeof *f);
    enum err e = f != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    f->fn = fn;
    f->arg = arg;
    f->rules = *rules;
    f->last = &f->first;
    BUG_ON(pthread_mutex_init(&f->lock, NULL) != 0);
    TRY(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? E_OK : FAIL(E_IO));
    f->multi = curl_multi_init();
    TRY(f->multi != NULL ? E_OK : FAIL(E_NOMEM));
    TRY(pthread_create(&f->thread, NULL, fetch_thread, f) == 0 ? E_OK : FAIL(E_IO));
    f->has_thread = true;
    *out = f;
    f = NULL; /* moved */
out:
    stir_fetcher_stop(f);
    return e;
}

void stir_fetcher_set(struct stir_fetcher *f, const struct stir_rules *rules)
{
    BUG_ON(pthread_mutex_lock(&f->lock) != 0);
    f->rules = *rules;
    BUG_ON(pthread_mutex_unlock(&f->lock) != 0);
}

bool stir_fetcher_ask(struct stir_fetcher *f, const char *url)
{
    struct question *q = mem_zalloc(sizeof *q);
    bool fits = false;

    if (q == NULL || view_to_cstr(view_of(url), q->url, sizeof q->url) != E_OK) {
        mem_free(q);
        return false;
    }
    BUG_ON(pthread_mutex_lock(&f->lock) != 0);
    fits = f->n_waiting < QUEUE_MAX;
    if (fits) {
        *f->last = q;
        f->last = &q->next;
        f->n_waiting++;
    }
    BUG_ON(pthread_mutex_unlock(&f->lock) != 0);
    if (!fits) {
        mem_free(q);
        return false;
    }
    IGNORE(curl_multi_wakeup(f->multi) == CURLM_OK ? E_OK : E_IO, "it looks each second anyway");
    return true;
}

void stir_fetcher_stop(struct stir_fetcher *f)
{
    if (f == NULL) {
        return;
    }
    if (f->has_thread) {
        atomic_store(&f->stops, true);
        IGNORE(curl_multi_wakeup(f->multi) == CURLM_OK ? E_OK : E_IO, "it looks each second");
        BUG_ON(pthread_join(f->thread, NULL) != 0);
    }
    while (f->running != NULL) {
        transfer_free(f, f->running);
    }
    while (f->first != NULL) {
        struct question *q = f->first;
        f->first = q->next;
        mem_free(q);
    }
    if (f->multi != NULL) {
        curl_multi_cleanup(f->multi);
    }
    pthread_mutex_destroy(&f->lock);
    mem_free(f);
}
