/* RFC 3263 section 4: one question after the other, each answer decides on the next. */
#include "signaling/sip_locate.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { NAPTR_MAX = 6, PROTO_STEP = 65536, PARTLY_TTL_S = 30 };

enum stage { STAGE_NAPTR, STAGE_SRV, STAGE_ADDRESS };

struct service { /* a name whose SRV records are to be asked for */
    char name[DNS_NAME_MAX];
    enum sip_proto proto;
    uint32_t rank; /* of its first record */
};

struct host { /* a name whose addresses are to be asked for */
    char name[DNS_NAME_MAX];
    enum sip_proto proto;
    uint16_t port, weight;
    uint32_t rank;
};

struct sip_locate {
    sip_locate_query_fn *query;
    void *dns;
    sip_locate_fn *fn;
    void *arg;
    struct sip_locate_ask ask;
    char name[DNS_NAME_MAX];
    enum stage stage;
    unsigned asked, hops;
    struct dns_query *under_way;
    bool has_srv;                 /* some service has SRV records, be it a "." */
    unsigned n_services, service; /* how many, which is asked for */
    struct service services[NAPTR_MAX];
    unsigned n_hosts, host;
    struct host hosts[LOCATE_MAX];
    enum dns_type family; /* STAGE_ADDRESS */
    char current[DNS_NAME_MAX];
    uint32_t ttl_s, no_ttl_s;
    enum err trouble; /* of a question on the way */
    struct sip_places found;
};

static uint16_t default_port(enum sip_proto p)
{
    return p == SIP_TLS ? 5061 : 5060;
}

static enum sip_proto default_proto(const struct sip_locate_ask *a)
{
    return a->has_proto ? a->proto : a->only_tls ? SIP_TLS : SIP_UDP;
}

static void step(struct sip_locate *s);

/* ---- the end -----------------------------------------------------------------------------------
 */
static uint32_t clamp(uint32_t ttl, uint32_t most)
{
    ttl = ttl < most ? ttl : most;
    return ttl > LOCATE_TTL_MIN_S ? ttl : LOCATE_TTL_MIN_S;
}

static void finish(struct sip_locate *s)
{
    sip_locate_fn *fn = s->fn;
    void *arg = s->arg;
    struct sip_places found = s->found;
    enum err e = found.n > 0 ? E_OK : s->trouble != E_OK ? s->trouble : E_NOTFOUND;

    found.ttl_s =
        e == E_OK ? clamp(s->ttl_s, LOCATE_TTL_MAX_S) : clamp(s->no_ttl_s, LOCATE_TTL_NO_MAX_S);
    if (e == E_OK && s->trouble != E_OK) { /* a part of it is missing */
        found.ttl_s = clamp(found.ttl_s, PARTLY_TTL_S);
    }
    mem_free(s);
    fn(arg, e, e == E_OK || e == E_NOTFOUND ? &found : NULL);
}

static void note_ttl(struct sip_locate *s, enum err e, const struct dns_answer *a)
{
    if (e == E_OK && a->ttl_s < s->ttl_s) {
        s->ttl_s = a->ttl_s;
    } else if (e == E_NOTFOUND && a->ttl_s < s->no_ttl_s) {
        s->no_ttl_s = a->ttl_s;
    }
}

/* ---- hosts -------------------------------------------------------------------------------------
 */
static void add_host(struct sip_locate *s, const struct host *h)
{
    if (s->n_hosts < LOCATE_MAX) {
        s->hosts[s->n_hosts++] = *h;
    }
}

static void add_own_name(struct sip_locate *s)
{
    struct host h = {.proto = default_proto(&s->ask)};

    memcpy(h.name, s->name, sizeof h.name);
    h.port = s->ask.port != 0 ? s->ask.port : default_port(h.proto);
    add_host(s, &h);
}

static void to_addresses(struct sip_locate *s)
{
    s->stage = STAGE_ADDRESS;
    s->host = 0;
    s->family = s->ask.with_ipv6 ? DNS_AAAA : DNS_A;
    s->hops = 0;
    memcpy(s->current, s->hosts[0].name, sizeof s->current);
}

static void next_address(struct sip_locate *s)
{
    if (s->family == DNS_AAAA && s->ask.with_ipv4) {
        s->family = DNS_A;
    } else {
        s->family = s->ask.with_ipv6 ? DNS_AAAA : DNS_A;
        s->host++;
    }
    s->hops = 0;
    if (s->host < s->n_hosts) {
        memcpy(s->current, s->hosts[s->host].name, sizeof s->current);
    }
}

static void take_addresses(struct sip_locate *s, const struct dns_answer *a)
{
    const struct host *h = &s->hosts[s->host];

    for (unsigned i = 0; i < a->n && s->found.n < LOCATE_MAX; i++) {
        struct sip_place *p = &s->found.p[s->found.n++];
        *p = (struct sip_place){.proto = h->proto,
                                .address = a->r[i].ip,
                                .rank = h->rank,
                                .weight = h->weight,
                                .group = (uint8_t)s->host};
        p->address.port = h->port;
    }
}

/* ---- services ----------------------------------------------------------------------------------
 */
static bool speaks(const struct sip_locate *s, enum sip_proto p)
{
    return (!s->ask.only_tls || p == SIP_TLS) && (!s->ask.has_proto || p == s->ask.proto);
}

static void add_service(struct sip_locate *s, const char *name, enum sip_proto proto)
{
    if (s->n_services < NAPTR_MAX && dns_name_ok(view_of(name))) {
        struct service *v = &s->services[s->n_services];
        snprintf(v->name, sizeof v->name, "%s", name);
        v->proto = proto;
        v->rank = s->n_services * PROTO_STEP;
        s->n_services++;
    }
}

static void to_own_services(struct sip_locate *s)
{
    static const struct {
        const char *prefix;
        enum sip_proto proto;
    } each[] = {{"_sip._udp.", SIP_UDP}, {"_sip._tcp.", SIP_TCP}, {"_sips._tcp.", SIP_TLS}};
    char name[DNS_NAME_MAX + 16];

    for (unsigned i = 0; i < sizeof each / sizeof each[0]; i++) {
        if (speaks(s, each[i].proto)) {
            snprintf(name, sizeof name, "%s%s", each[i].prefix, s->name);
            add_service(s, name, each[i].proto);
        }
    }
    s->stage = STAGE_SRV;
}

static bool naptr_proto(const struct dns_record *r, enum sip_proto *out)
{
    bool udp = strcmp(r->service, "SIP+D2U") == 0, tcp = strcmp(r->service, "SIP+D2T") == 0,
         tls = strcmp(r->service, "SIPS+D2T") == 0;

    *out = udp ? SIP_UDP : tcp ? SIP_TCP : SIP_TLS;
    return (udp || tcp || tls) && strcmp(r->flags, "s") == 0 && r->name[0] != 0;
}

static uint32_t naptr_order(const struct dns_record *r)
{
    return (uint32_t)r->priority << 16 | r->weight;
}

/* Those that we speak, in the order that the domain wants. */
static void take_naptr(struct sip_locate *s, const struct dns_answer *a)
{
    bool taken[DNS_RECORDS_MAX] = {false};

    for (unsigned round = 0; round < a->n; round++) {
        const struct dns_record *best = NULL;
        enum sip_proto proto = SIP_UDP;
        for (unsigned i = 0; i < a->n; i++) {
            if (!taken[i] && (best == NULL || naptr_order(&a->r[i]) < naptr_order(best))) {
                best = &a->r[i];
            }
        }
        taken[best - a->r] = true;
        if (naptr_proto(best, &proto) && speaks(s, proto)) {
            add_service(s, best->name, proto);
        }
    }
}

/* A target of "." says that there is no such service here (RFC 2782). */
static void take_srv(struct sip_locate *s, const struct dns_answer *a)
{
    const struct service *v = &s->services[s->service];

    for (unsigned i = 0; i < a->n; i++) {
        const struct dns_record *r = &a->r[i];
        struct host h = {.proto = v->proto,
                         .port = r->port != 0 ? r->port : default_port(v->proto),
                         .weight = r->weight,
                         .rank = v->rank + r->priority};
        memcpy(h.name, r->name, sizeof h.name);
        if (r->name[0] != 0) {
            add_host(s, &h);
        }
    }
}

/* ---- answers -----------------------------------------------------------------------------------
 */
static bool is_alias(struct sip_locate *s, enum err e, const struct dns_answer *a)
{
    if (e != E_OK || a->n > 0 || a->alias[0] == 0) {
        return false;
    }
    if (++s->hops > LOCATE_HOPS_MAX) {
        s->trouble = FAIL(E_PARSE); /* they go round */
        return false;
    }
    memcpy(s->current, a->alias, sizeof s->current);
    return true;
}

static void next_service(struct sip_locate *s, bool exists)
{
    s->has_srv = s->has_srv || exists;
    s->hops = 0;
    s->service++;
    if (s->service < s->n_services) {
        memcpy(s->current, s->services[s->service].name, sizeof s->current);
    } else if (s->n_hosts == 0 && (s->has_srv || s->trouble != E_OK)) {
        s->stage = STAGE_ADDRESS; /* nothing more to ask: the domain says no, or DNS is away */
        s->host = 0;
    } else {
        if (s->n_hosts == 0) {
            add_own_name(s);
        }
        to_addresses(s);
    }
}

static void use_answer(struct sip_locate *s, enum err e, const struct dns_answer *a)
{
    bool has = e == E_OK && a->n > 0;

    switch (s->stage) {
    case STAGE_NAPTR:
        if (has) {
            take_naptr(s, a);
        }
        s->stage = STAGE_SRV;
        if (s->n_services == 0) {
            to_own_services(s);
        }
        s->hops = 0;
        memcpy(s->current, s->services[0].name, sizeof s->current);
        break;
    case STAGE_SRV:
        if (has) {
            take_srv(s, a);
        }
        next_service(s, has);
        break;
    case STAGE_ADDRESS:
        if (has) {
            take_addresses(s, a);
        }
        next_address(s);
        break;
    }
}

static void on_answer(void *arg, enum err e, const struct dns_answer *a)
{
    struct sip_locate *s = arg;

    s->under_way = NULL;
    if (e != E_OK && e != E_NOTFOUND) {
        s->trouble = e;
        if (e == E_TIMEOUT) { /* no use in asking the same servers for the rest */
            finish(s);
            return;
        }
    } else {
        note_ttl(s, e, a);
    }
    if (!is_alias(s, e, a)) {
        use_answer(s, e, a);
    }
    step(s);
}

static enum dns_type type_of(const struct sip_locate *s)
{
    return s->stage == STAGE_NAPTR ? DNS_NAPTR : s->stage == STAGE_SRV ? DNS_SRV : s->family;
}

static bool is_over(const struct sip_locate *s)
{
    return s->asked >= LOCATE_QUESTIONS_MAX ||
           (s->stage == STAGE_ADDRESS && (s->host >= s->n_hosts || s->found.n == LOCATE_MAX));
}

static enum err ask_next(struct sip_locate *s)
{
    s->asked++;
    return s->query(s->dns, view_of(s->current), type_of(s), on_answer, s, &s->under_way);
}

static void step(struct sip_locate *s)
{
    enum err e = E_OK;

    if (!is_over(s)) {
        e = ask_next(s);
        if (e == E_OK) {
            return;
        }
        s->trouble = e;
    }
    finish(s);
}

/* ---- the beginning -----------------------------------------------------------------------------
 */
static bool is_numeric(const struct sip_locate_ask *ask, struct sip_places *out)
{
    struct sip_place *p = &out->p[0];

    *out = (struct sip_places){.n = 1, .ttl_s = LOCATE_TTL_MAX_S};
    p->proto = default_proto(ask);
    if (net_parse_ip(ask->host, &p->address) != E_OK) {
        return false;
    }
    p->address.port = ask->port != 0 ? ask->port : default_port(p->proto);
    return true;
}

static void first_stage(struct sip_locate *s)
{
    if (s->ask.port != 0) {
        add_own_name(s);
        to_addresses(s);
    } else if (s->ask.has_proto) {
        to_own_services(s);
        memcpy(s->current, s->services[0].name, sizeof s->current);
    } else {
        s->stage = STAGE_NAPTR;
        memcpy(s->current, s->name, sizeof s->current);
    }
}

enum err sip_locate_by_dns(void *dns, struct view name, enum dns_type type, dns_fn *fn, void *arg,
                           struct dns_query **out)
{
    return dns_query(dns, name, type, fn, arg, out);
}

enum err sip_locate(sip_locate_query_fn *query, void *dns, const struct sip_locate_ask *ask,
                    sip_locate_fn *fn, void *arg, struct sip_locate **out)
{
    struct sip_places numeric;
    struct sip_locate *s = NULL;
    enum err e = E_OK;

    *out = NULL;
    if (is_numeric(ask, &numeric)) {
        fn(arg, E_OK, &numeric);
        return E_OK;
    }
    /* "_sips._tcp." and the name must fit too */
    if (!dns_name_ok(ask->host) || ask->host.n > 240 ||
        (ask->only_tls && ask->has_proto && ask->proto != SIP_TLS)) {
        return FAIL(E_PARSE);
    }
    s = mem_zalloc(sizeof *s);
    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    s->query = query;
    s->dns = dns;
    s->fn = fn;
    s->arg = arg;
    s->ask = *ask;
    s->ask.host = VIEW(""); /* borrowed for this call only */
    s->ttl_s = LOCATE_TTL_MAX_S;
    s->no_ttl_s = LOCATE_TTL_NO_MAX_S;
    IGNORE(view_to_cstr(ask->host, s->name, sizeof s->name), "checked above");
    first_stage(s);
    TRY(ask_next(s));
    *out = s;
    s = NULL; /* moved */
out:
    mem_free(s);
    return e;
}

void sip_locate_cancel(struct sip_locate *s)
{
    if (s != NULL) {
        dns_forget(s->under_way);
        mem_free(s);
    }
}

/* ---- the order of one use ----------------------------------------------------------------------
 */
static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct lot { /* a group that was not taken yet */
    uint32_t rank;
    uint16_t weight;
    uint8_t group;
};

static unsigned list_groups(const struct sip_places *places, struct lot out[LOCATE_MAX])
{
    unsigned n = 0;

    for (unsigned i = 0; i < places->n && i < LOCATE_MAX; i++) {
        const struct sip_place *p = &places->p[i];
        bool known = false;
        for (unsigned k = 0; k < n; k++) {
            known = known || out[k].group == p->group;
        }
        if (!known) {
            out[n++] = (struct lot){p->rank, p->weight, p->group};
        }
    }
    return n;
}

/* One of the lowest rank: RFC 2782's running sum, those of weight 0 first in it. */
static unsigned draw(const struct lot *lots, unsigned n, uint64_t *random)
{
    uint32_t rank = UINT32_MAX;
    uint64_t sum = 0, at = 0, running = 0;

    for (unsigned i = 0; i < n; i++) {
        rank = lots[i].rank < rank ? lots[i].rank : rank;
    }
    for (unsigned i = 0; i < n; i++) {
        sum += lots[i].rank == rank ? lots[i].weight : 0;
    }
    at = next_random(random) % (sum + 1);
    for (unsigned zero = 0; zero < 2; zero++) {
        for (unsigned i = 0; i < n; i++) {
            if (lots[i].rank == rank && (lots[i].weight == 0) == (zero == 0)) {
                running += lots[i].weight;
                if (running >= at) {
                    return i;
                }
            }
        }
    }
    return 0;
}

unsigned sip_places_order(const struct sip_places *places, uint64_t random, uint8_t out[LOCATE_MAX])
{
    struct lot lots[LOCATE_MAX];
    unsigned n = list_groups(places, lots), used = 0;

    while (n > 0) {
        unsigned pick = draw(lots, n, &random);
        for (unsigned i = 0; i < places->n && i < LOCATE_MAX; i++) {
            if (places->p[i].group == lots[pick].group) {
                out[used++] = (uint8_t)i;
            }
        }
        lots[pick] = lots[--n];
    }
    return used;
}
