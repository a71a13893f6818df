# SPDX-License-Identifier: Apache-2.0
# break: quiesce
# what: quiesce() does not wait for handlers
