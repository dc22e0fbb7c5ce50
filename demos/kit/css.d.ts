// A style sheet that a module wants: the bundler puts it into its page's.
declare module "*.css";
