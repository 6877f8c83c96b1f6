/* The control socket: a small server that no client can stall. */
#include "gc/control.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/secret.h"
#include "gc/control_int.h"

#define GROUPS_MAX 256
#define BACKLOG    64
#define PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

struct client {
    struct control *c;
    int fd; /* -1: free */
    struct loop_io *io;
    struct loop_timer timer;
    char request[CONTROL_REQUEST_MAX];
    size_t n;
    char *answer;
    size_t answer_n, sent;
    uint64_t order; /* of arrival */
};

struct control {
    struct control_cfg cfg;
    struct loop *l;
    pthread_t thread;
    int fd;
    struct loop_io *io;
    gid_t group;
    bool has_group;
    uint64_t started_us;
    char path[PATH_BYTES];
    dev_t device; /* of the socket file that is ours */
    ino_t inode;
    uint64_t arrivals;
    struct control_redis *redis; /* NULL: nobody asks that way */
    struct client client[CONTROL_CLIENTS];
};

/* ---- who may -----------------------------------------------------------------------------------
 */
static bool in_group(const struct control *c, int fd, const struct ucred *peer)
{
    gid_t groups[GROUPS_MAX];
    socklen_t bytes = sizeof groups;

    if (!c->has_group) {
        return false;
    }
    if (peer->gid == c->group) {
        return true;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) != 0) {
        return false;
    }
    for (size_t i = 0; i < bytes / sizeof groups[0]; i++) {
        if (groups[i] == c->group) {
            return true;
        }
    }
    return false;
}

static bool may_ask(const struct control *c, int fd)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t bytes = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0 || bytes != sizeof peer) {
        return false;
    }
    if (peer.uid == 0 || peer.uid == geteuid() || in_group(c, fd, &peer)) {
        return true;
    }
    LOG(LV_WARN, "control.denied", KV("uid", peer.uid), KV("pid", peer.pid));
    return false;
}

/* ---- one client --------------------------------------------------------------------------------
 */
static void drop(struct client *k)
{
    struct control *c = k->c;

    loop_timer_stop(c->l, &k->timer);
    loop_io_stop(k->io);
    if (k->fd >= 0) {
        close(k->fd);
    }
    mem_free(k->answer);
    k->fd = -1;
    k->io = NULL;
    k->answer = NULL;
    k->n = 0;
    k->answer_n = 0;
    k->sent = 0;
}

static void on_limit(void *arg)
{
    drop(arg);
}

/* False: the client is gone. */
static bool read_request(struct client *k)
{
    size_t line = 0;
    ssize_t n = read(k->fd, k->request + k->n, sizeof k->request - k->n);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (n <= 0) {
        drop(k);
        return false;
    }
    k->n += (size_t)n;
    if (!view_find(view_from(k->request, k->n), '\n', &line)) {
        if (k->n < sizeof k->request) {
            return true;
        }
        line = k->n; /* too long: the answer says that it makes no sense */
    }
    k->answer =
        control_answer(&k->c->cfg, k->c->started_us, view_from(k->request, line), &k->answer_n);
    wipe(k->request, sizeof k->request); /* it may have held a password */
    if (k->answer == NULL) {
        LOG(LV_ERROR, "control.no_answer", KV_ERR(E_NOMEM));
        drop(k);
        return false;
    }
    loop_io_events(k->io, LOOP_WRITE);
    return true;
}

static void on_client(void *arg, int fd, unsigned events)
{
    struct client *k = arg;
    ssize_t n = 0;

    (void)events;
    if (k->answer == NULL && (!read_request(k) || k->answer == NULL)) {
        return;
    }
    n = send(fd, k->answer + k->sent, k->answer_n - k->sent, MSG_NOSIGNAL);
    k->sent += n > 0 ? (size_t)n : 0;
    if ((n < 0 && errno != EAGAIN && errno != EINTR) || k->sent == k->answer_n) {
        drop(k);
    }
}

/* When all places are taken, whoever has been there longest without asking anything makes room:
 * silence must not keep an operator out. */
static struct client *take_place(struct control *c)
{
    struct client *oldest = NULL;

    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        struct client *k = &c->client[i];
        if (k->fd < 0) {
            return k;
        }
        if (k->answer == NULL && (oldest == NULL || k->order < oldest->order)) {
            oldest = k;
        }
    }
    if (oldest != NULL) {
        drop(oldest);
    }
    return oldest;
}

static void on_accept(void *arg, int fd, unsigned events)
{
    struct control *c = arg;
    struct client *k = NULL;
    int client_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (client_fd < 0) {
        return;
    }
    k = may_ask(c, client_fd) ? take_place(c) : NULL;
    if (k == NULL) {
        close(client_fd);
        return;
    }
    k->fd = client_fd;
    k->order = c->arrivals++;
    if (loop_io_start(c->l, client_fd, LOOP_READ, on_client, k, &k->io) != E_OK ||
        loop_timer_start(c->l, &k->timer, CONTROL_CLIENT_MS, on_limit, k) != E_OK) {
        drop(k);
    }
}

/* ---- the socket file ---------------------------------------------------------------------------
 */
static enum err name_of(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    return view_to_cstr(view_of(path), out->sun_path, sizeof out->sun_path);
}

/* A socket that nobody answers is left over from a process that was killed. */
enum err control_probe(const char *path)
{
    struct sockaddr_un sa;
    struct stat st;
    enum err e = name_of(path, &sa);
    int fd = -1;

    TRY(e);
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? E_OK : FAIL(E_IO);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return FAIL(E_EXISTS);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return FAIL(E_IO);
    }
    if (connect(fd, (const struct sockaddr *)&sa, sizeof sa) == 0 || errno == EAGAIN) {
        e = FAIL(E_EXISTS);
    }
    close(fd);
out:
    return e;
}

/* Made under another name, so that it is never there with other rights than its own. */
static enum err open_socket(struct control *c)
{
    struct sockaddr_un sa, temp;
    struct stat st;
    char name[PATH_BYTES + 32];
    enum err e = control_probe(c->cfg.path);

    TRY(e);
    snprintf(name, sizeof name, "%s.%ld", c->cfg.path, (long)getpid());
    TRY(name_of(c->cfg.path, &sa));
    TRY(name_of(name, &temp));
    memcpy(c->path, sa.sun_path, sizeof c->path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        return FAIL(E_IO);
    }
    unlink(temp.sun_path);
    if (bind(c->fd, (const struct sockaddr *)&temp, sizeof temp) != 0) {
        return FAIL(E_IO);
    }
    if (chmod(temp.sun_path, 0660) != 0 ||
        (c->has_group && chown(temp.sun_path, (uid_t)-1, c->group) != 0) ||
        listen(c->fd, BACKLOG) != 0 || lstat(temp.sun_path, &st) != 0 ||
        rename(temp.sun_path, sa.sun_path) != 0) {
        unlink(temp.sun_path);
        return FAIL(E_IO);
    }
    c->device = st.st_dev;
    c->inode = st.st_ino;
out:
    return e;
}

static enum err find_group(struct control *c)
{
    char buf[4096];
    struct group g, *found = NULL;

    if (c->cfg.group == NULL || c->cfg.group[0] == 0) {
        return E_OK;
    }
    if (getgrnam_r(c->cfg.group, &g, buf, sizeof buf, &found) != 0 || found == NULL) {
        return FAIL(E_NOTFOUND);
    }
    c->group = found->gr_gid;
    c->has_group = true;
    return E_OK;
}

/* ---- life --------------------------------------------------------------------------------------
 */
static void *run(void *arg)
{
    struct control *c = arg;

    loop_run(c->l);
    return NULL;
}

static void control_free(struct control *c)
{
    struct stat st;

    for (size_t i = 0; c->l != NULL && i < CONTROL_CLIENTS; i++) {
        if (c->client[i].fd >= 0) {
            drop(&c->client[i]);
        }
    }
    control_redis_close(c->redis);
    loop_io_stop(c->io);
    if (c->fd >= 0) {
        close(c->fd);
    }
    /* Only our own: another process may have taken the name over. */
    if (c->inode != 0 && lstat(c->path, &st) == 0 && st.st_ino == c->inode &&
        st.st_dev == c->device) {
        unlink(c->path);
    }
    loop_free(c->l);
    mem_free(c);
}

enum err control_start(const struct control_cfg *cfg, struct control **out)
{
    struct control *c = mem_zalloc(sizeof *c);
    enum err e = E_OK;

    if (c == NULL) {
        return FAIL(E_NOMEM);
    }
    c->cfg = *cfg;
    c->fd = -1;
    c->started_us = clock_wall_us(clock_system());
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        c->client[i] = (struct client){.c = c, .fd = -1};
    }
    control_ops_init();
    TRY(find_group(c));
    TRY(open_socket(c));
    TRY(loop_new(clock_system(), &c->l));
    TRY(loop_io_start(c->l, c->fd, LOOP_READ, on_accept, c, &c->io));
    if (cfg->command_key != NULL && cfg->command_key->n != 0) {
        TRY(control_redis_open(c->l, &c->cfg, c->started_us, &c->redis));
        c->cfg.command_key = NULL; /* it was copied */
    }
    if (pthread_create(&c->thread, NULL, run, c) != 0) {
        TRY(FAIL(E_NOMEM));
    }
    *out = c;
    c = NULL;
out:
    if (c != NULL) {
        control_free(c);
    }
    return e;
}

void control_stop(struct control *c)
{
    if (c != NULL) {
        loop_stop(c->l);
        pthread_join(c->thread, NULL);
        control_free(c);
    }
}
