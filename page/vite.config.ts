// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vite";

export default defineConfig({
  build: {
    target: "es2022",
    // The content security policy allows files of this server only: nothing is put inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
