/* The Unix socket: its file, and who may connect. */
#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/httpd_int.h"

enum { BACKLOG = 64 };

__attribute__((format(printf, 3, 4))) static enum err say(char *why, size_t why_bytes,
                                                          const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, why_bytes, fmt, args);
    va_end(args);
    return FAIL(E_IO);
}

static enum err name_of(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    return view_to_cstr(view_of(path), out->sun_path, sizeof out->sun_path);
}

/* A socket that nobody answers is left over from a process that was killed. */
static bool is_free(const struct sockaddr_un *sa)
{
    struct stat st;
    bool answered = false;
    int fd = -1;

    if (lstat(sa->sun_path, &st) != 0) {
        return errno == ENOENT;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    answered = connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0 || errno == EAGAIN;
    close(fd);
    return !answered;
}

/* Empty: nobody's. */
static enum err group_of(const char *name, bool *has, gid_t *out, char *why, size_t why_bytes)
{
    char buf[4096];
    struct group g, *found = NULL;

    *has = name != NULL && name[0] != 0;
    if (!*has) {
        return E_OK;
    }
    if (getgrnam_r(name, &g, buf, sizeof buf, &found) != 0 || found == NULL) {
        return say(why, why_bytes, "%s: no such group", name);
    }
    *out = g.gr_gid;
    return E_OK;
}

/* Made under another name, so that it is never there with other rights than its own. */
enum err httpd_unix_listen(struct httpd *h, char *why, size_t why_bytes)
{
    const char *path = h->cfg.socket;
    struct sockaddr_un sa, temp;
    struct stat st;
    char name[sizeof sa.sun_path + 32];
    gid_t group = 0;
    bool has_group = false;
    enum err e = E_OK;

    if (path == NULL || path[0] == 0) {
        return E_OK;
    }
    TRY(group_of(h->cfg.socket_group, &has_group, &group, why, why_bytes));
    snprintf(name, sizeof name, "%s.%ld", path, (long)getpid());
    if (name_of(path, &sa) != E_OK || name_of(name, &temp) != E_OK) {
        return say(why, why_bytes, "%s: too long for a socket's name", path);
    }
    if (!is_free(&sa)) {
        return say(why, why_bytes, "%s: in use by another", path);
    }
    h->unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(temp.sun_path);
    if (h->unix_fd < 0 || bind(h->unix_fd, (const struct sockaddr *)&temp, sizeof temp) != 0) {
        return say(why, why_bytes, "%s: %s", path, strerrordesc_np(errno));
    }
    if (chmod(temp.sun_path, has_group ? 0660 : 0600) != 0 ||
        (has_group && chown(temp.sun_path, (uid_t)-1, group) != 0) ||
        listen(h->unix_fd, BACKLOG) != 0 || lstat(temp.sun_path, &st) != 0 ||
        rename(temp.sun_path, sa.sun_path) != 0) {
        e = say(why, why_bytes, "%s: %s", path, strerrordesc_np(errno));
        unlink(temp.sun_path);
        return e;
    }
    memcpy(h->path, sa.sun_path, sizeof h->path);
    h->device = st.st_dev;
    h->inode = st.st_ino;
out:
    return e;
}

void httpd_unix_close(struct httpd *h)
{
    struct stat st;

    if (h->unix_fd < 0) {
        return;
    }
    close(h->unix_fd);
    h->unix_fd = -1;
    /* Only our own: another process may have taken the name over. */
    if (h->path[0] != 0 && lstat(h->path, &st) == 0 && st.st_ino == h->inode &&
        st.st_dev == h->device) {
        unlink(h->path);
    }
}
