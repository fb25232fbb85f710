// A plugin for qemu-aarch64 that counts the instructions of a program and logs their number when it exits.
//
// Distributions do not ship qemu-plugin.h, so the few functions used are declared here: those that are the same in
// every QEMU since 7. API_VERSION is not: QEMU 9 and later refuse plugins written for version 1, earlier ones those
// for version 2.

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

struct qemu_plugin_tb;

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*entered)(unsigned, void *), int flags,
                                          void *data);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*exiting)(uint64_t, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_outs(const char *text);

int qemu_plugin_version = API_VERSION;

// Not atomic: what is counted has one thread.
static uint64_t instructions;

static void entered(unsigned cpu, void *length) { instructions += (uintptr_t)length; }

// The length of a block takes the place of a pointer to data.
static void translated(uint64_t id, struct qemu_plugin_tb *block) {
    qemu_plugin_register_vcpu_tb_exec_cb(block, entered, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void exiting(uint64_t id, void *data) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64 "\n", instructions);
    qemu_plugin_outs(text);
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, exiting, NULL);
    return 0;
}
