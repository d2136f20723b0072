import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';

// Without CHROMIUM, Playwright looks for the browser that `npx playwright install chromium` brings.
const executablePath = process.env.CHROMIUM;

export default defineConfig({
  test: {
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      instances: [{ browser: 'chromium' }],
      provider: playwright({ launchOptions: { executablePath, args: ['--no-sandbox'] } }),
    },
  },
});
