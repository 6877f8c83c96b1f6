/* base/hlist.h - intrusive doubly linked chain with a one-pointer head: hash buckets and time
 * slots whose members leave in O(1) without naming their chain. The zero value of a head is the
 * empty chain; of a link: in no chain. Threads: the caller serialises. */
#ifndef BASE_HLIST_H
#define BASE_HLIST_H

#include <stddef.h>

struct hlink {
    struct hlink *next;
    struct hlink **at; /* what points to us; NULL: in no chain */
};

/* The object that holds link `p` as its member. */
#define HLIST_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

static inline void hlist_push(struct hlink **head, struct hlink *l)
{
    l->next = *head;
    l->at = head;
    if (*head) {
        (*head)->at = &l->next;
    }
    *head = l;
}

static inline void hlist_drop(struct hlink *l)
{
    if (l->at) {
        *l->at = l->next;
        if (l->next) {
            l->next->at = l->at;
        }
        l->at = NULL;
        l->next = NULL;
    }
}

#endif
