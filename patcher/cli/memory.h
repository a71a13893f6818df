/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VP_CLI_MEMORY_H
#define VP_CLI_MEMORY_H

/*
 * For a command that is about to need 40 MB for a moment, as a guest's kernel is: to be given them
 * page by page takes it a third of its time. So from now on memory comes in one stretch, of large
 * pages where the host has some to spare. What cannot be had so is had as ever.
 */
void vp_memory_prepare(void);

#endif /* VP_CLI_MEMORY_H */
